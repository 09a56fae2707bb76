"""Pictures of what the parts of STAB attend to in a clip, drawn by the attention views of a training."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from PIL.Image import Image

from components.encoders import VideoShapes
from lightning_modules.views import ATTENTION_VIEWS
from lightning_modules.views.clip_view import ShownClip
from video_panda.clips import Clip
from video_panda.model import VideoPanda


def attention_names(panda: VideoPanda) -> list[str]:
    """Return the names of the attention views that a model has; none for one without STAB."""
    return [kind.name for kind in ATTENTION_VIEWS if kind.of(panda.model) is not None]


@torch.inference_mode()
def attention_pictures(panda: VideoPanda, clip: Clip, title: str) -> dict[str, Image]:
    """Return a picture of a clip for each view that applies to it. Questions make no difference to them.

    Args:
        panda: model, which must not run elsewhere meanwhile.
        clip: clip, as for `VideoPanda.ask`.
        title: title of the pictures.

    Raises:
        ValueError: the clip cannot be read.
    """
    model, encoder = panda.model, panda.model.encoder
    inputs = panda.processor("", clip)
    frames, rectangles = inputs["pixel_values_videos"], inputs["video_rectangles"]
    height, width = frames.shape[-2:]
    canvas = height // encoder.patch_size, width // encoder.patch_size
    layout = encoder.layout(VideoShapes(inputs["video_frame_counts"], rectangles, canvas))
    views = [view for kind in ATTENTION_VIEWS if (view := kind.of(model)) is not None]
    with ExitStack() as watched, torch.autocast(model.device.type, panda.autocast, panda.autocast is not None):
        for view in views:
            for handle in view.watch():
                watched.callback(handle.remove)
        model.get_video_features(frames, inputs["video_frame_counts"], rectangles)
    shown = ShownClip(title, title, frames, rectangles, canvas, encoder.stride, layout)
    return {view.name: picture for view in views if (picture := view.draw(shown)) is not None}

"""The encoder of Video-ChatGPT: CLIP on every frame, averaged over space and over time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from components.encoders.video_encoder import TokenLayout, VideoShapes
from components.encoders.vit_encoder import ViTEncoder, ViTLayout
from components.groups import Groups
from components.vision_transformers import CLIPViT, VisionTransformer


@dataclass
class PooledLayout(ViTLayout):
    """The sources of the averages of a batch.

    Attributes:
        valid: mask of the patches that show the clip.
        places: indices in the flattened (clips, patches) of the places that at least one frame of the clip shows.
    """

    valid: Bool[Tensor, "frames patches"]
    places: Int64[Tensor, " places"]


class CLIPFrames(ViTEncoder):
    """One token per frame and one token per place on the canvas (arXiv 2306.05424, section 3.1; paper Tables 1 to 3).

    The token of a frame is the mean over its patches, the token of a place the mean over the frames of the clip. A
    square clip of T frames has T + 256 tokens, frames first; the 100 frames of Video-ChatGPT give 356. The original
    uses `LinearProjector`, a frozen tower (`train_tower: false`), and zeros in place of frame tokens for clips of fewer
    than 100 frames (`fill_up_to: 100`), which the projector maps to its bias.

    Paper Table 3 gives 307 M parameters, which are those of the whole ViT-L/14 and the linear projector to 4096 (here,
    up to the second-to-last layer, 294.8 M), and 8109.1 GFLOPs, which are the multiply-accumulates for 100 frames and
    for the projection of 356 tokens, plus five operations for every input number of a layer norm.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        tower: Callable[[int, int], VisionTransformer] = CLIPViT,
        fill_up_to: int = 0,
        **settings: Any,
    ) -> None:
        """Build the tower.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
            tower: vision transformer that encodes the frames; `PretrainedCLIP` for released weights.
            fill_up_to: minimum number of frame tokens per clip; missing ones are zeros (official: 100).
            settings: `dropout` and `train_tower`, see ViTEncoder.

        Raises:
            ValueError: the sizes of the tower are inconsistent, its weights do not fit, or `fill_up_to` is negative.
        """
        if fill_up_to < 0:
            raise ValueError(f"model.encoder.init_args.fill_up_to is {fill_up_to}; it must be 0 or more")
        super().__init__(width, patch_size, tower, **settings)
        self.fill_up_to = fill_up_to

    def layout(self, shapes: VideoShapes) -> PooledLayout:
        """Compute the token layout of a batch, on the host.

        Raises:
            ValueError: the canvas is not that of the tower, or frame counts and rectangles are invalid.
        """
        valid = self.valid_patches(shapes)
        clips = Groups.of_sizes(shapes.frame_counts)
        shown = torch.zeros(len(shapes.frame_counts), valid.shape[1], dtype=torch.int64)
        places = shown.index_add(0, clips.group, valid.long()).flatten().nonzero()[:, 0]
        # The features are [frames, places, zeros]; tokens are sorted by clip, and within a clip: frames, zeros, places.
        missing = (self.fill_up_to - shapes.frame_counts).clamp(min=0)
        clip_of = torch.cat([clips.group, torch.repeat_interleave(missing), places // valid.shape[1]])
        frames, zeros = len(clips.group), int(missing.sum())
        feature = torch.cat(
            [
                torch.arange(frames),
                torch.full((zeros,), frames + len(places)),
                torch.arange(frames, frames + len(places)),
            ]
        )
        return PooledLayout(
            token_counts=tuple(clip_of.bincount().tolist()),
            order=feature[clip_of.argsort(stable=True)],
            # A token is a mean over a frame or over time: no token is for a part of a single frame.
            grid=torch.empty(0, dtype=torch.int64),
            grids=torch.empty(0, 2, dtype=torch.int64),
            clips=clips,
            valid=valid,
            places=places,
        )

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "features embedding_width"]:
        """Encode normalised frames into [token per frame, token per place, one token of zeros with `fill_up_to`].

        Raises:
            ValueError: the frames are not of the size that the tower accepts.
        """
        assert isinstance(layout, PooledLayout)
        patches = self.tower(frames, layout.clips)[:, 1:]
        valid = layout.valid[..., None].to(patches.dtype)
        patches = patches * valid
        of_frame = patches.sum(1) / valid.sum(1)
        total, count = (
            layout.clips.pad(values, 0.0).sum(1).flatten(0, 1).index_select(0, layout.places)
            for values in (patches, valid)
        )
        zeros = of_frame.new_zeros(int(self.fill_up_to > 0), self.width)
        return torch.cat([of_frame, total / count, zeros])

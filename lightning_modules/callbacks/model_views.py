"""Shows views into the model: at every validation in the loggers, in a prediction as PNG files."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from components.files import whole_file
from components.splice import TooLongError
from datamodules.printable import say
from lightning_modules.runs.folder import run_folder
from lightning_modules.runs.logger_families import shown_by
from lightning_modules.training.model_input import prepare
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views import CLIP_VIEWS
from lightning_modules.views.choice import chosen_clips
from lightning_modules.views.clip_view import ClipView, ShownClip
from lightning_modules.views.fusion_weights import FusionWeights
from lightning_modules.views.token_norms import TokenNorms, medians

log = logging.getLogger(__name__)


class ModelViews(Callback):
    """Shows what the parts of the model do with a few clips, the same ones every time.

    Every process runs the clips through the model once more, so a sharded model works too; losses and answers are the
    same as without this callback. Views of parts that the model does not have are left out.
    """

    def __init__(self, clips: int = 2, videos: list[str] | None = None) -> None:
        """Choose the clips.

        Args:
            clips: number of clips: the first ones of the validation, or of the test data in a prediction.
            videos: paths or file names of the clips instead of the first ones. Default: none.

        Raises:
            ValueError: `clips` is below 1.
        """
        if clips < 1:
            raise ValueError(f"ModelViews.clips is {clips}; it must be at least 1 (leave the callback out for none)")
        self.clips = clips
        self.videos = videos or []
        self.fusion: FusionWeights | None = None
        self._announced = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the views of this model, and print their names once."""
        assert isinstance(pl_module, VideoLanguageModel)
        if self._announced:
            return
        self.fusion = FusionWeights.of(pl_module)
        names = {kind.name: kind.of(pl_module) is not None for kind in CLIP_VIEWS}
        names[FusionWeights.name] = self.fusion is not None
        present, absent = ([name for name, has in names.items() if has is wanted] for wanted in (True, False))
        if trainer.is_global_zero:
            say(f"views: {', '.join(present)}" + (f"; not of this model: {', '.join(absent)}" if absent else ""))
        self._announced = True

    def state_dict(self) -> dict[str, Any]:
        """Return the recorded alphas."""
        return {} if self.fusion is None else self.fusion.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the alphas of a checkpoint."""
        if self.fusion is not None and state_dict:
            self.fusion.load_state_dict(state_dict)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the views of this validation in the loggers, if any holds pictures."""
        if not trainer.loggers or trainer.sanity_checking:
            return
        assert isinstance(pl_module, VideoLanguageModel)

        def show(tag: str, image: Image.Image | None) -> None:
            if image is not None:
                for family in shown_by(trainer):
                    family.picture(f"views/{tag}", image, trainer.global_step)

        norms: dict[str, list[float]] = defaultdict(list)
        for number, (clip, views) in enumerate(self._run_clips(trainer, pl_module, "val")):
            for view in views:
                if trainer.is_global_zero:
                    show(f"{view.name}/{number}", view.draw(clip))
                if isinstance(view, TokenNorms):
                    for slot, norm in medians(view.norms(clip)).items():
                        norms[slot].append(norm)
        figures = {f"norms/{slot}": float(np.mean(values)) for slot, values in norms.items()}
        pl_module.log_dict(figures, sync_dist=True)  # equal on all processes; averaged only to satisfy Lightning
        if self.fusion is not None:
            self._note_alpha(trainer, self.fusion)
            if trainer.is_global_zero:
                show(self.fusion.name, self.fusion.draw())

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the views as PNG files, and print their folder."""
        folder = run_folder(trainer)  # all processes must call this
        if folder is None:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        root = folder / "views"
        written = 0
        taken: list[str] = []
        for clip, views in self._run_clips(trainer, pl_module, "test"):
            taken.append(file_name(clip.name, taken))
            for view in views:
                if trainer.is_global_zero and (image := view.draw(clip)) is not None:
                    save_picture(image, root / taken[-1] / f"{view.name}.png")
                    written += 1
        if self.fusion is not None:
            self._note_alpha(trainer, self.fusion)
            if trainer.is_global_zero:
                save_picture(self.fusion.draw(), root / f"{self.fusion.name}.png")
                written += 1
        if trainer.is_global_zero:
            say(f"views of {len(taken)} clips: {written} pictures in {root}")

    @staticmethod
    def _note_alpha(trainer: Trainer, fusion: FusionWeights) -> None:
        # Outside of a training there are no steps, and the last recorded alphas are those of the checkpoint.
        if trainer.state.fn == TrainerFn.FITTING or not fusion.columns:
            fusion.add(trainer.global_step)

    def _run_clips(
        self, trainer: Trainer, model: VideoLanguageModel, split: str
    ) -> Iterator[tuple[ShownClip, Sequence[ClipView]]]:
        """Run the clips through the model one by one, and yield each with the views of it."""
        views = [view for kind in CLIP_VIEWS if (view := kind.of(model)) is not None]
        if trainer.state.fn != TrainerFn.FITTING and model.distillation.hidden_layers:
            model.feature_cache.open(model.teacher, str(trainer.precision))
        for batch in chosen_clips(model, split, self.clips, self.videos):
            stand_in = partial(model.data.stand_in, split)
            try:
                prepared = prepare(batch, model.encoder, model.language_model, stand_in)
            except TooLongError as error:
                log.warning("no view of %s: it is %s", batch.samples[0], error.samples[0])
                continue
            with ExitStack() as watched, trainer.precision_plugin.forward_context():
                for view in views:
                    for handle in view.watch():
                        watched.callback(handle.remove)
                model.run_for_hooks(prepared.to(model.device))
            yield ShownClip.of(batch, model.encoder.stride, prepared.layout), views


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a PNG file atomically.

    Raises:
        OSError: as for `whole_file`.
    """
    with whole_file(path, flush=False) as unfinished:
        image.save(unfinished, "PNG")


def file_name(clip: str, taken: Sequence[str]) -> str:
    """Return the name of a clip's folder: that of its file, with only letters, digits, `_` and `-`."""
    name = re.sub(r"[^\w-]+", "_", Path(clip).stem, flags=re.ASCII).strip("_")[:80] or "clip"
    numbered = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(candidate for candidate in numbered if candidate not in taken)

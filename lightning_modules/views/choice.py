"""Chooses the clips for views, and reads them as in an evaluation, also for the teacher if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from components.teachers import Teacher
from datamodules.batch import Batch
from datamodules.clip_dataset import Sample, canvases, collate
from lightning_modules.video_language import VideoLanguageModel


def chosen_clips(model: VideoLanguageModel, split: str, count: int, names: Sequence[str]) -> Iterator[Batch]:
    """Yield a batch of one sample for each clip to show: the named clips, or the first `count` readable ones.

    Every process yields the same clips. The sample is the first one about the clip.

    Args:
        model: model of a running trainer.
        split: split of the clips.
        count: number of clips if `names` is empty.
        names: paths, file names, or file names without their suffix.

    Raises:
        ValueError: a named clip is not in the split, or cannot be read.
    """
    data = model.data
    clips, clip_of = data.records(split).clips()
    first: dict[int, int] = {}
    for index, clip in enumerate(clip_of.tolist()):
        if clip >= 0:
            first.setdefault(clip, index)
    if names:
        numbers = _named(clips, names, split)
        first, count = {clip: first[clip] for clip in numbers}, len(numbers)
    teacher: Teacher | None = model.teacher if model.distillation.hidden_layers else None
    dataset = data.dataset(split, canvases(data.canvas, model.encoder, teacher, data.resizing, data.fit))
    yielded = 0
    for index in first.values():
        if yielded == count:
            return
        sample = dataset[index]
        if isinstance(sample, Sample) and sample.views and not sample.instead_of:
            yielded += 1
            yield collate([sample])
        elif names:
            reason = sample.instead_of[0].reason if isinstance(sample, Sample) else sample.reason
            raise ValueError(f"ModelViews.videos names {dataset.records[index].video}, which cannot be read: {reason}")


def _named(clips: Sequence[Path], names: Sequence[str], split: str) -> list[int]:
    numbers = []
    for name in names:
        matching = [number for number, clip in enumerate(clips) if name in (str(clip), clip.name, clip.stem)]
        if not matching:
            examples = ", ".join(clip.name for clip in clips[:5])
            raise ValueError(
                f"ModelViews.videos names {name!r}, which is none of the {len(clips)} clips of the {split} split "
                f"({examples}{', ...' if len(clips) > 5 else ''}); set trainer.callbacks.videos to paths or file names"
            )
        numbers += matching
    return list(dict.fromkeys(numbers))

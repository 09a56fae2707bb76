"""Turns clips, as files or as frames in memory, into samples for a trained model, as its test did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import UInt8
from jsonargparse import ArgumentParser
from PIL.Image import Image
from torch import Tensor

from datamodules.checking.media_facts import NoManifest
from datamodules.clip_dataset import ClipDataset, canvases
from datamodules.records import Record, Turn
from datamodules.video.augmentation import Augmentation, NoAugmentation
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_cache import NoCache
from datamodules.video.geometry import Fit, Pad
from datamodules.video.media_policy import ErrorOnBadMedia
from datamodules.video.reader import VideoReader
from datamodules.video.resizing import PillowBicubic, Resizing
from datamodules.video.sampling import FrameSampler
from datamodules.video.shown_frames import ShownFrames
from lightning_modules.video_language import VideoLanguageModel

RATE = 25.0  # frames per second of frames in memory, which have no times of their own

Clip = str | Path | np.ndarray | Tensor | Sequence[np.ndarray | Tensor | Image]
"""A clip: the path of a video or picture; frames (T, H, W, 3) uint8; or a list of pictures or frames (H, W, 3)."""


class ClipReading:
    """The settings of a data module by which the clips of its test become frames of the model."""

    def __init__(
        self,
        canvas: int,
        sampler: FrameSampler,
        shown_frames: ShownFrames,
        damaged: DamagedVideo = DamagedVideo.REFUSE,
        resizing: Callable[[], Resizing] = PillowBicubic,
        fit: Callable[[], Fit] = Pad,
        augmentation: Callable[[], Augmentation] = NoAugmentation,
        seed: int = 0,
    ) -> None:
        """Set the parts, which are those of `VideoTextDataModule`."""
        self.canvas = canvas
        self.sampler = sampler
        self.shown_frames = shown_frames
        self.damaged = damaged
        self.resizing = resizing()
        self.fit = fit()
        self.augmentation = augmentation()
        self.seed = seed

    @classmethod
    def of_data(cls, settings: Mapping[str, Any]) -> Self:
        """Return the reading of a data module, of whose settings (`data.init_args`) all others are left aside."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(cls, "reading")
        ours = {name: settings[name] for name in signature(cls).parameters if name in settings}
        reading: Self = parser.instantiate(parser.parse_object({"reading": ours})).reading
        return reading

    def samples(
        self, clips: Sequence[Clip], questions: Sequence[str], before: Sequence[Turn], model: VideoLanguageModel
    ) -> ClipDataset:
        """Return one sample for each clip and question; reading one of them raises no error, see `Skipped`.

        Args:
            clips: clips, as many as questions.
            questions: questions about the clips.
            before: earlier turns of each conversation.
            model: model that is asked.

        Raises:
            ValueError: frames in memory are not RGB in uint8, or the canvas does not suit the model.
        """
        in_memory = FramesInMemory()
        records = [
            Record(str(number), in_memory.path(clip), (*before, Turn(question, "")))
            for number, (clip, question) in enumerate(zip(clips, questions, strict=True))
        ]
        return ClipDataset(
            records,
            self.sampler,
            canvases(self.canvas, model.encoder, None, self.resizing, self.fit),
            model.language_model.text,
            ErrorOnBadMedia(),
            self.damaged,
            in_memory,
            self.shown_frames,
            NoCache(),
            self.augmentation if self.augmentation.at_evaluation else NoAugmentation(),
            self.seed,
        )


class FramesInMemory(NoManifest):
    """Opens the frames of clips in memory by a name instead of a path, and files as usual."""

    def __init__(self) -> None:
        """Start without frames."""
        self.frames: dict[Path, UInt8[np.ndarray, "frames height width 3"]] = {}

    def path(self, clip: Clip) -> Path:
        """Return the path of a file, or the name under which frames are kept.

        Raises:
            ValueError: frames are not RGB in uint8, or there are none.
        """
        if isinstance(clip, str | Path):
            return Path(clip).expanduser()
        frames = np.stack([_picture(frame) for frame in clip]) if len(clip) else np.empty(0)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f"frames of shape {frames.shape} and type {frames.dtype}; a clip must be (T, H, W, 3) in uint8, RGB, "
                "or a list of pictures"
            )
        name = Path(f"<frames {len(self.frames)}>")
        self.frames[name] = frames
        return name

    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open frames in memory, or a file with the right reader for its content."""
        return ArrayReader(clip, self.frames[clip]) if clip in self.frames else super().open(clip, damaged)


def _picture(frame: np.ndarray | Tensor | Image) -> np.ndarray:
    return np.asarray(frame.convert("RGB") if isinstance(frame, Image) else torch.as_tensor(frame).cpu())


class ArrayReader(VideoReader):
    """Frames in memory as a clip at a fixed rate."""

    name = "memory"
    reason = "frames in memory"
    fps = RATE

    def __init__(self, path: Path, frames: UInt8[np.ndarray, "frames height width 3"]) -> None:
        """Set the name and the frames."""
        self.path = path
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def times(self) -> Sequence[float]:
        """Return even times at the fixed rate."""
        return [number / self.fps for number in range(len(self))]

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        return self._frames[list(indices)]

    def close(self) -> None:
        """Do nothing: the frames belong to the caller."""

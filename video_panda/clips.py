"""Turns clips, as files or as frames in memory, into samples for a trained model, as its test did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL.Image import Image
from torch import Tensor

from components.encoders import VideoEncoder
from components.language_models.text import ChatText
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
from datamodules.video.shown_frames import ShownFrames, TrueFrames

RATE = 25.0  # frames per second of frames in memory, which have no times of their own

Clip = str | Path | np.ndarray | Tensor | Sequence[np.ndarray | Tensor | Image]
"""A clip: the path of a video or picture; frames (T, H, W, 3) uint8; or a list of pictures or frames (H, W, 3)."""


@dataclass(frozen=True)
class ClipRead:
    """What was read of a clip for a model.

    Attributes:
        clip: path of the clip; `<frames 0>` for frames in memory.
        frames: sampled frames, upright, in the size of the file: before they are fitted to the model's canvas.
        times: when each of them is shown, in seconds from the beginning.
        rate: frames per second of the file.
        length: number of frames in the file.
        seconds: duration of these frames.
        rotation: degrees by which stored pictures were turned upright, counter-clockwise.
        mirrored: whether left and right were exchanged after turning.
        reader: decoder, such as `pyav`.
        reason: why that decoder was chosen.
        damage: what is damaged in a file that was read in part; empty for a whole file.
        shown_frames: what the model sees of the frames: `TrueFrames`, or the name of a control, such as `NoiseFrames`.
    """

    clip: str
    frames: UInt8[np.ndarray, "frames height width 3"]
    times: tuple[float, ...]
    rate: float
    length: int
    seconds: float
    rotation: int
    mirrored: bool
    reader: str
    reason: str
    damage: str
    shown_frames: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    def __str__(self) -> str:
        """Describe the clip in a line or two."""
        times = ", ".join(f"{time:.3g}" for time in self.times)
        turned = f", turned by {self.rotation} degrees" if self.rotation else ""
        facts = [
            f"{self.clip}: {len(self.times)} of {self.length} frames, at {times} s",
            f"{self.size[0]}x{self.size[1]}{turned}{', mirrored' if self.mirrored else ''}, {self.rate:.4g} frames/s, "
            f"{self.seconds:.3g} s, read with {self.reader} ({self.reason})",
        ]
        notes = [self.damage] if self.damage else []
        if self.shown_frames != TrueFrames.__name__:
            notes.append(f"the model sees {self.shown_frames} instead of these frames")
        return "\n".join([*facts, *notes])


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

    def read(self, clip: Clip) -> ClipRead:
        """Return what the model is shown of a clip, before it is fitted to the canvas.

        Raises:
            ValueError: the clip cannot be read.
        """
        in_memory = FramesInMemory()
        with in_memory.open(in_memory.path(clip), self.damaged) as reader:
            indices = self.sampler.indices(len(reader), reader.fps, reader.times)
            frames, times = reader.frames(indices), reader.times()
            return ClipRead(
                clip=str(reader.path),
                frames=frames,
                times=tuple(times[index] for index in indices),
                rate=reader.fps,
                length=len(reader),
                seconds=times[-1] + 1 / reader.fps,
                rotation=reader.rotation,
                mirrored=reader.mirrored,
                reader=reader.name,
                reason=reader.reason,
                damage=reader.damage,
                shown_frames=type(self.shown_frames).__name__,
            )

    def samples(
        self,
        clips: Sequence[Clip | None],
        questions: Sequence[str],
        before: Sequence[Sequence[Turn]],
        encoder: VideoEncoder,
        text: ChatText,
    ) -> ClipDataset:
        """Return one sample for each clip and question; reading one of them raises no error, see `Skipped`.

        Args:
            clips: clips, as many as questions; None for a question without one.
            questions: questions about the clips.
            before: earlier turns of each conversation.
            encoder: encoder, which determines the canvas.
            text: tokenizer and prompt.

        Raises:
            ValueError: frames in memory are not RGB in uint8, or the canvas does not suit the encoder.
        """
        in_memory = FramesInMemory()
        records = [
            Record(str(number), None if clip is None else in_memory.path(clip), (*turns, Turn(question, "")))
            for number, (clip, question, turns) in enumerate(zip(clips, questions, before, strict=True))
        ]
        return ClipDataset(
            records,
            self.sampler,
            canvases(self.canvas, encoder, None, self.resizing, self.fit),
            text,
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

"""Caches of a teacher's features: a frozen teacher gives the same features in every epoch and every run."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor

from components.files import write_whole
from components.teachers.teacher import Teacher

Compute = Callable[[list[int]], Sequence[Tensor]]
_DAMAGES = (SafetensorError, KeyError, ValueError, OSError)


def clip_key(frames: UInt8[Tensor, "frames 3 height width"], teacher: str) -> str:
    """Return the name of the features of a clip: a hash of the pixels that the teacher sees.

    So it covers the video, reader, sampling, geometry and all other changes of the frames without listing them.

    Args:
        frames: input of the teacher.
        teacher: fingerprint and precision of the teacher.
    """
    digest = hashlib.blake2b(f"{teacher} {tuple(frames.shape)}".encode(), digest_size=32)
    digest.update(frames.contiguous().numpy().data)
    return digest.hexdigest()


@dataclass
class KnownFeatures:
    """What a cache knows of clips.

    Attributes:
        keys: name of the features of each clip; empty for clips that no cache was asked about.
        features: features of all clips, packed; None unless those of all clips are kept.
    """

    keys: list[str] = field(default_factory=list)
    features: Float[Tensor, "frames rows columns width"] | None = None

    @classmethod
    def joined(cls, clips: Sequence[KnownFeatures]) -> KnownFeatures:
        """Return what is known of the clips of a batch."""
        kept = [clip.features for clip in clips if clip.features is not None]
        features = torch.cat(kept) if kept and len(kept) == len(clips) else None
        return cls([key for clip in clips for key in clip.keys], features)

    def select(self, clips: Sequence[int]) -> KnownFeatures:
        """Return the names of the clips at some positions; their features are read again."""
        return KnownFeatures([self.keys[clip] for clip in clips] if self.keys else [], None)

    def pin_memory(self) -> KnownFeatures:
        """Pin the features, for an asynchronous copy to the device."""
        return KnownFeatures(self.keys, None if self.features is None else self.features.pin_memory())


class FeatureCache(ABC):
    """The family `feature_cache`: whether the features of a teacher are kept."""

    @property
    @abstractmethod
    def always_asks(self) -> bool:
        """Whether the teacher runs for every batch."""

    @abstractmethod
    def open(self, teacher: Teacher, precision: str) -> None:
        """Set the teacher of the features.

        Args:
            teacher: teacher, on any device.
            precision: precision in which the teacher runs, in addition to the dtype of its weights:
                `trainer.precision`.
        """

    @abstractmethod
    def look_up(self, frames: UInt8[Tensor, "frames 3 height width"]) -> KnownFeatures:
        """Return the name of the features of a clip, and the features if they are kept.

        A loader's processes call this with copies of the cache, so that the training process need not wait for it.

        Args:
            frames: input of the teacher, on the host.
        """

    @abstractmethod
    def features(
        self,
        teacher: Teacher,
        frames: UInt8[Tensor, "frames 3 height width"],
        frame_counts: Sequence[int],
        known: KnownFeatures,
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the features of the frames of all clips, packed, on the device of `frames`.

        Args:
            teacher: teacher that computes missing features.
            frames: frames of all clips, concatenated.
            frame_counts: number of frames of each clip.
            known: what the cache knows of the clips, with tensors on the device of `frames`.
        """


class NoFeatureCache(FeatureCache):
    """Keeps nothing: features are computed every time."""

    always_asks = True

    def open(self, teacher: Teacher, precision: str) -> None:
        """Do nothing."""

    def look_up(self, frames: UInt8[Tensor, "frames 3 height width"]) -> KnownFeatures:
        """Return nothing, since nothing is kept."""
        return KnownFeatures()

    def features(
        self,
        teacher: Teacher,
        frames: UInt8[Tensor, "frames 3 height width"],
        frame_counts: Sequence[int],
        known: KnownFeatures,
    ) -> Float[Tensor, "frames rows columns width"]:
        """Compute the features of all clips."""
        computed: Tensor = teacher(frames, frame_counts)
        return computed


NOTHING_KEPT = NoFeatureCache()  # a default for arguments; it has no state


class DiskFeatureCache(FeatureCache):
    """Keeps features as safetensors files, without loss and without a limit on their total size.

    Several processes may share a folder, because files appear completely or not at all. The features of a damaged file
    are computed again, with a warning. They have the dtype in which the teacher gives them: bfloat16 under `bf16-true`,
    and float32 under `bf16-mixed`, where a hidden state is a sum in float32.

    Attributes:
        damaged: number of damaged files found so far.
    """

    always_asks = False

    def __init__(self, folder: str | Path) -> None:
        """Set the folder.

        Args:
            folder: folder of the files, which are in subfolders by the first two letters of their names.

        Raises:
            ValueError: the path is empty.
        """
        if not str(folder).strip():
            raise ValueError("model.feature_cache.init_args.folder is empty; it must be the path of a folder")
        self.folder = Path(folder)
        self.damaged = 0
        self._teacher: str | None = None

    def open(self, teacher: Teacher, precision: str) -> None:
        """Compute the fingerprint of the teacher, which reads all its weights once."""
        self._teacher = f"{teacher.fingerprint()} {precision}"

    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return the name of the features of a clip (`clip_key`)."""
        assert self._teacher is not None, "open() tells whose features they are"
        return clip_key(frames, self._teacher)

    def look_up(self, frames: UInt8[Tensor, "frames 3 height width"]) -> KnownFeatures:
        """Return the name of the features of a clip, and the features if they are kept and whole.

        Nothing is said of a damaged file: `get` finds it too, in the process that can compute it again.
        """
        key = self.key(frames)
        try:
            return KnownFeatures([key], self._content(key))
        except _DAMAGES:
            return KnownFeatures([key], None)

    def features(
        self,
        teacher: Teacher,
        frames: UInt8[Tensor, "frames 3 height width"],
        frame_counts: Sequence[int],
        known: KnownFeatures,
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the features that the loader has read; else read what is kept, and compute and keep the rest."""
        if known.features is not None:
            return known.features
        if not known.keys:  # a batch of sizes alone, for which no loader has run
            computed: Tensor = teacher(frames, frame_counts)
            return computed
        clips = frames.split(list(frame_counts))

        def compute(positions: list[int]) -> Sequence[Tensor]:
            counts = [frame_counts[position] for position in positions]
            chosen = frames if len(positions) == len(clips) else torch.cat([clips[position] for position in positions])
            features: Tensor = teacher(chosen, counts)
            of_clips: Sequence[Tensor] = features.split(counts)
            return of_clips

        return torch.cat([features.to(frames.device) for features in self.get(known.keys, compute)])

    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of clips, each of shape (frames, rows, columns, width): on the CPU if they were kept.

        Args:
            keys: names of the features of each clip.
            compute: function that returns the features of the clips at some positions in `keys`; called at most once,
                with all clips that are not in the cache.
        """
        clips = [self._read(key) for key in keys]
        absent = [position for position, features in enumerate(clips) if features is None]
        if absent:
            for position, features in zip(absent, compute(absent), strict=True):
                self._write(keys[position], features)
                clips[position] = features
        return [features for features in clips if features is not None]

    def path(self, key: str) -> Path:
        """Return the path of the file of the features named `key`."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> Tensor | None:
        try:
            return self._content(key)
        except _DAMAGES as error:
            self.damaged += 1
            warnings.warn(f"teacher features {self.path(key)} are damaged and computed again: {error}", stacklevel=2)
            return None

    def _content(self, key: str) -> Tensor | None:
        try:
            # Not memory-mapped, so that a damaged disk is an error here and not a crash later.
            content = safetensors.torch.load(self.path(key).read_bytes())
        except FileNotFoundError:
            return None
        if "checksum" in content:  # SHA-256, by which older versions kept them: computed again and replaced
            return None
        features = content["features"]
        if content["crc32"].tolist() != [_crc32(key, features)]:
            raise ValueError("its checksum is wrong")
        return features

    def _write(self, key: str, features: Tensor) -> None:
        features = features.detach().cpu().contiguous()
        content = safetensors.torch.save({"features": features, "crc32": torch.tensor([_crc32(key, features)])})
        write_whole(self.path(key), content, flush=False)


def _crc32(key: str, features: Tensor) -> int:
    """Return a checksum of features and their name; safetensors itself has none.

    A cryptographic hash would take more than twice as long, in the process that waits for the features.
    """
    head = zlib.crc32(f"{key} {features.dtype} {tuple(features.shape)}".encode())
    return zlib.crc32(features.flatten().view(torch.uint8).numpy().data, head)

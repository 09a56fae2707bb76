"""Caches of a teacher's features: a frozen teacher gives the same features in every epoch and every run."""

import hashlib
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor

from components.files import write_whole
from components.teachers.teacher import Teacher

Compute = Callable[[list[int]], Sequence[Tensor]]


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
    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return the name of the features of a clip.

        Args:
            frames: input of the teacher, on the host.
        """

    @abstractmethod
    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of clips, each of shape (frames, rows, columns, width).

        Args:
            keys: names of the features of each clip.
            compute: function that returns the features of the clips at some positions in `keys`; called at most once,
                with all clips that are not in the cache.
        """


class NoFeatureCache(FeatureCache):
    """Keeps nothing: features are computed every time."""

    always_asks = True

    def open(self, teacher: Teacher, precision: str) -> None:
        """Do nothing."""

    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return an empty name, since nothing is kept."""
        return ""

    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Compute the features of all clips."""
        return list(compute(list(range(len(keys)))))


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

    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of clips: on the CPU if they were kept, else on the device of `compute`."""
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
        path = self.path(key)
        try:
            # Not memory-mapped, so that a damaged disk is an error here and not a crash later.
            content = safetensors.torch.load(path.read_bytes())
            features = content["features"]
            if "checksum" in content:  # SHA-256, by which older versions kept them: computed again and replaced
                return None
            if content["crc32"].tolist() != [_crc32(key, features)]:
                raise ValueError("its checksum is wrong")
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            self.damaged += 1
            warnings.warn(f"teacher features {path} are damaged and computed again: {error}", stacklevel=2)
            return None
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


def cached_features(
    teacher: Teacher,
    cache: FeatureCache,
    frames: UInt8[Tensor, "frames 3 height width"],
    frame_counts: Sequence[int],
    keys: Sequence[str],
) -> Float[Tensor, "frames rows columns width"]:
    """Return the features of the frames of all clips, packed, on the device of `frames`.

    Args:
        teacher: teacher that computes missing features.
        cache: cache of the features.
        frames: frames of all clips, concatenated.
        frame_counts: number of frames of each clip.
        keys: names of the features of each clip in the cache.
    """
    clips = frames.split(list(frame_counts))

    def compute(positions: list[int]) -> Sequence[Tensor]:
        counts = [frame_counts[position] for position in positions]
        chosen = frames if len(positions) == len(clips) else torch.cat([clips[position] for position in positions])
        features: Tensor = teacher(chosen, counts)
        of_clips: Sequence[Tensor] = features.split(counts)
        return of_clips

    return torch.cat([features.to(frames.device) for features in cache.get(keys, compute)])

"""Whether a teacher's features are kept on disk: a frozen teacher gives the same ones in every epoch and every run."""

import hashlib
import warnings
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
    """Return the name of the features of a clip: a hash of the very pixels that the teacher sees.

    So it follows video, reader, sampling, geometry and whatever else was done to the frames, without a list of these.

    Args:
        frames: what the teacher is given.
        teacher: who is asked, see `FeatureCache.open`.
    """
    digest = hashlib.blake2b(f"{teacher} {tuple(frames.shape)}".encode(), digest_size=32)
    digest.update(frames.contiguous().numpy().data)
    return digest.hexdigest()


class FeatureCache(ABC):
    """The family `feature_cache`."""

    @property
    @abstractmethod
    def always_asks(self) -> bool:
        """Whether the teacher is asked for every batch."""

    @abstractmethod
    def open(self, teacher: Teacher, precision: str) -> None:
        """Take the teacher whose features are asked for from now on.

        Args:
            teacher: on whatever device.
            precision: in which it runs, beside the dtype of its weights: `trainer.precision`.
        """

    @abstractmethod
    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return the name of the features of a clip, of which the teacher sees these frames on the host."""

    @abstractmethod
    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of clips, (frames, rows, columns, width) each.

        Args:
            keys: name of each clip's features.
            compute: returns the features of the clips at the given positions in `keys`; called once at most, with all
                that are not kept.
        """


class NoFeatureCache(FeatureCache):
    """Compute every time."""

    always_asks = True

    def open(self, teacher: Teacher, precision: str) -> None:
        """Take note of nothing."""

    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return no name: nothing is kept."""
        return ""

    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of all clips as computed."""
        return list(compute(list(range(len(keys)))))


class DiskFeatureCache(FeatureCache):
    """Keep features as safetensors files, bit by bit as computed, without a bound on their size.

    Several processes may share a folder: files appear whole or not at all. A file that is damaged is computed again,
    with a warning.

    Attributes:
        damaged: damaged files found so far.
    """

    always_asks = False

    def __init__(self, folder: str | Path) -> None:
        """Keep the folder.

        Args:
            folder: where the files are, in subfolders by the first two letters of their names.

        Raises:
            ValueError: none is named.
        """
        if not str(folder).strip():
            raise ValueError("model.feature_cache.init_args.folder is empty; it must be the path of a folder")
        self.folder = Path(folder)
        self.damaged = 0
        self._teacher: str | None = None

    def open(self, teacher: Teacher, precision: str) -> None:
        """Take the fingerprint of the teacher, for which all its weights are read once."""
        self._teacher = f"{teacher.fingerprint()} {precision}"

    def key(self, frames: UInt8[Tensor, "frames 3 height width"]) -> str:
        """Return the name of the features of a clip (`clip_key`)."""
        assert self._teacher is not None, "open() tells whose features they are"
        return clip_key(frames, self._teacher)

    def get(self, keys: Sequence[str], compute: Compute) -> list[Tensor]:
        """Return the features of clips: on the CPU where they were kept, on the device of `compute` where not."""
        found = [self._read(key) for key in keys]
        absent = [position for position, features in enumerate(found) if features is None]
        if absent:
            for position, features in zip(absent, compute(absent), strict=True):
                self._write(keys[position], features)
                found[position] = features
        return [features for features in found if features is not None]

    def path(self, key: str) -> Path:
        """Return where the features named `key` are kept."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> Tensor | None:
        path = self.path(key)
        try:
            # Not mapped into memory: a damaged disk then is an error here and not a crash later.
            content = safetensors.torch.load(path.read_bytes())
            features = content["features"]
            if not torch.equal(content["checksum"], _checksum(key, features)):
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
        content = safetensors.torch.save({"features": features, "checksum": _checksum(key, features)})
        write_whole(self.path(key), content, flush=False)


def _checksum(key: str, features: Tensor) -> Tensor:
    """Return a hash of features and their name, which safetensors itself does not have."""
    digest = hashlib.sha256(f"{key} {features.dtype} {tuple(features.shape)}".encode())
    digest.update(features.flatten().view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def cached_features(
    teacher: Teacher,
    cache: FeatureCache,
    frames: UInt8[Tensor, "frames 3 height width"],
    frame_counts: Sequence[int],
    keys: Sequence[str],
) -> Float[Tensor, "frames rows columns width"]:
    """Return the features of the frames of all clips, packed, on the device of `frames`.

    Args:
        teacher: who is asked.
        cache: who is asked first.
        frames: the clips one after the other.
        frame_counts: frames of each clip.
        keys: name of each clip in the cache.
    """
    clips = frames.split(list(frame_counts))

    def compute(positions: list[int]) -> Sequence[Tensor]:
        counts = [frame_counts[position] for position in positions]
        asked = frames if len(positions) == len(clips) else torch.cat([clips[position] for position in positions])
        features: Tensor = teacher(asked, counts)
        of_clips: Sequence[Tensor] = features.split(counts)
        return of_clips

    return torch.cat([features.to(frames.device) for features in cache.get(keys, compute)])

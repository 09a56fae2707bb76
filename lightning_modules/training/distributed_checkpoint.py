"""Checkpoints of sharded trainings: folders into which torch's distributed checkpoint writes the shards of every rank.

`meta.pt` has all the rest, and says where the shards are. Torch's own `.metadata`, a pickle that could run code, is for
tools of others, and not read here.
"""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, distributed
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor

from components.files import take_place, whole_file
from components.model_files import damaged_part, why
from lightning_modules.runs.folder import SHARDS_META

_SHARDS = "shards"  # entry of `meta.pt`


class CheckpointError(ValueError):
    """A file or folder that is not a checkpoint of this project, or not one of this model."""


class Shard(NamedTuple):
    """A block of a tensor in a file.

    Attributes:
        offsets: index of its first element in the tensor.
        sizes: its shape.
        file: name of the file.
        start: position in the file, in bytes.
        length: number of bytes in the file.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    length: int


class StoredTensor(Tensor):
    """A tensor in a checkpoint folder: any operation reads its values, and does not keep them.

    Its shape and dtype are known without. So a checkpoint that is larger than the memory can be looked through, and
    whatever takes the content of a checkpoint file takes that of a folder.

    Attributes:
        device: where its values are when they have been read.
        is_meta: whether it has none.
        entry: name in the checkpoint, such as `state_dict.a.weight`.
        source: YAML key and path of the checkpoint, for error messages.
        folder: the checkpoint.
        shards: its shards in files of the folder.
    """

    device = torch.device("cpu")
    is_meta = False
    entry: str
    source: str
    folder: Path
    shards: list[Shard]

    @classmethod
    def of(cls, form: Tensor, entry: str, source: str, folder: Path, shards: list[Shard]) -> Self:
        """Return the tensor with these attributes, of the shape and dtype of `form`, which is on the meta device."""
        tensor = form.as_subclass(cls)
        tensor.entry, tensor.source, tensor.folder, tensor.shards = entry, source, folder, shards
        return tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation on the values, which attributes such as the shape do not need."""
        if func.__name__ == "__get__":
            attribute = super().__torch_function__(func, types, args, kwargs or {})
            if not isinstance(attribute, Tensor):
                return attribute
        read: tuple[Any, dict[str, Any]] = apply_to_collection((args, kwargs or {}), cls, cls.read)
        return func(*read[0], **read[1])

    def read(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Return its rows from `start` to before `stop` (default: all), on the CPU.

        Raises:
            CheckpointError: a file with a shard of them is missing or damaged.
        """
        stop = self.shape[0] if stop is None else stop
        rows = torch.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        for shard in self.shards:
            first, after = shard.offsets[0], shard.offsets[0] + shard.sizes[0]
            if max(first, start) >= min(after, stop):
                continue
            rest = [slice(offset, offset + size) for offset, size in zip(shard.offsets, shard.sizes, strict=True)][1:]
            values = self._values_in(shard)[max(start - first, 0) : stop - first]
            if values.shape == rows.shape:  # the only one
                return values
            rows[(slice(max(first - start, 0), after - start), *rest)] = values
        return rows

    def verify(self) -> None:
        """Read all shards, and compare them with their checksums.

        Raises:
            CheckpointError: as for `read`.
        """
        for shard in self.shards:
            with self._reading(shard) as archive:
                if damaged := damaged_part(archive):
                    raise ValueError(f"the checksum of {damaged} in it is wrong")

    def _values_in(self, shard: Shard) -> Tensor:
        with self._reading(shard) as archive:
            values: Tensor = torch.load(archive, map_location="cpu", weights_only=True)
            if tuple(values.shape) != shard.sizes or values.dtype != self.dtype:
                raise ValueError(f"it is {list(values.shape)} of {values.dtype}, not {list(shard.sizes)}")
        return values

    @contextmanager
    def _reading(self, shard: Shard) -> Iterator[BytesIO]:
        """Yield the bytes of a shard, and say of any error of theirs where they are."""
        try:
            with (self.folder / shard.file).open("rb") as file:
                file.seek(shard.start)
                yield BytesIO(file.read(shard.length))
        except Exception as error:  # unpickling damaged bytes may raise anything; no code in them is executed
            reason = (isinstance(error, OSError) and error.strerror) or why(error)
            raise CheckpointError(
                f"{self.source} has {self.entry} in {shard.file}, which cannot be read: {reason}"
            ) from error


def is_sharded(path: Path) -> bool:
    """Return whether a path is a checkpoint folder of this project."""
    return (path / SHARDS_META).is_file()


def save_whole(content: dict[str, Any], path: Path) -> None:
    """Write a file, which replaces an earlier one once it is complete on disk.

    Raises:
        OSError: as for `whole_file`.
    """
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch's own error when the disk is full
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def save_sharded(content: dict[str, Any], path: Path, unfinished: Path) -> None:
    """Write a checkpoint; every rank must call this. It replaces the one at `path` once it is complete on disk.

    Args:
        content: content of the checkpoint; all but sharded tensors is written as the first rank has it.
        path: path of the folder.
        unfinished: path of the folder until it is complete, the same on all ranks.

    Raises:
        OSError: a file cannot be written; the earlier checkpoint is kept.
    """
    sharded: dict[str, Tensor] = {}
    first = distributed.get_rank() == 0

    def set_apart(name: str, value: Any) -> Any:
        if isinstance(value, DTensor):
            sharded[name] = value.detach()
            return torch.empty(value.shape, dtype=value.dtype, device="meta")
        return value.detach().cpu() if isinstance(value, Tensor) and first else value

    rest = _changed(content, set_apart)
    try:
        metadata = save(
            sharded,
            storage_writer=_Writer(unfinished),
            # A machine has a copy of all shards, and others may not see its disk: the first one writes them all.
            planner=DefaultSavePlanner(dedup_save_to_lowest_rank=True),
        )
        if first:
            save_whole(rest | {_SHARDS: _places(metadata)}, unfinished / SHARDS_META)
            take_place(unfinished, path)
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        number = (isinstance(cause, OSError) and cause.errno) or errno.EIO
        raise OSError(number, f"rank {rank}: {cause}", str(path)) from None
    except OSError as error:
        error.filename = str(path)  # not the name of what is unfinished
        raise
    finally:
        if first:
            shutil.rmtree(unfinished, ignore_errors=True)


class _Writer(FileSystemWriter):
    """Torch's writer, which says where it put the shards in the metadata that `save` returns; torch 2.11's does not."""

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        metadata.storage_data = {written.index: written.storage_data for rank in results for written in rank}


def _places(metadata: Metadata) -> dict[str, list[tuple[Any, ...]]]:
    """Return where the shards of each tensor are, in types that are read without running code."""
    places: dict[str, list[tuple[Any, ...]]] = {}
    for index, stored in metadata.storage_data.items():
        tensor = metadata.state_dict_metadata[index.fqn]
        assert isinstance(tensor, TensorStorageMetadata) and index.offset is not None
        sizes = next(chunk.sizes for chunk in tensor.chunks if chunk.offsets == index.offset)
        shard = Shard(tuple(index.offset), tuple(sizes), stored.relative_path, stored.offset, stored.length)
        places.setdefault(index.fqn, []).append(tuple(shard))
    return places


def read_sharded(path: Path, source: str, checksums: bool) -> dict[str, Any]:
    """Read a checkpoint folder; sharded tensors are read only when they are used.

    Args:
        path: checkpoint folder.
        source: its YAML key and path, for error messages.
        checksums: whether to verify the checksums of all files, which reads them.

    Raises:
        CheckpointError: a file is damaged, or one with shards is missing.
    """
    content = torch.load(path / SHARDS_META, map_location="cpu", weights_only=True, mmap=True)
    if checksums and (damaged := damaged_part(path / SHARDS_META)) is not None:
        raise CheckpointError(f"{source} is damaged: the checksum of {damaged} in {SHARDS_META} is wrong")
    places = {name: [Shard(*shard) for shard in shards] for name, shards in content.pop(_SHARDS).items()}

    def stored(name: str, value: Any) -> Any:
        if name not in places:
            return value
        if sum(math.prod(shard.sizes) for shard in places[name]) != value.numel():
            raise CheckpointError(f"{source}: its {SHARDS_META} does not say where all of {name} is")
        return StoredTensor.of(value, name, source, path, places[name])

    whole: dict[str, Any] = _changed(content, stored)
    if checksums:
        apply_to_collection(whole, StoredTensor, StoredTensor.verify)
    return whole


def _changed(value: Any, change: Callable[[str, Any], Any], name: str = "") -> Any:
    """Return nested dictionaries and lists with what is in them changed by its name, such as `state_dict.a.weight`."""
    if isinstance(value, dict):
        return {key: _changed(part, change, f"{name}.{key}" if name else str(key)) for key, part in value.items()}
    if isinstance(value, list):
        return [_changed(part, change, f"{name}.{number}") for number, part in enumerate(value)]
    return change(name, value)

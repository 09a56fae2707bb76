"""The order of samples and their division into batches: the family `batching`, evaluation, and resumed epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import Sampler

from datamodules.records import Record
from datamodules.sample_sizes import SampleSizes

Order = Int64[np.ndarray, "samples"]
Arrange = Callable[[np.ndarray, torch.Generator], np.ndarray]


class Batching(ABC):
    """The family `batching`: arranges the samples of an epoch, of which `at_once` consecutive ones are one batch."""

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return the same samples in the order in which they are batched.

        Args:
            order: random order of the samples.
            generator: source of all other random choices.
            sizes: function that returns the sizes of all samples, indexed by their numbers.
            at_once: number of samples per batch over all devices; device `r` of `n` takes every `n`-th of them from
                `r` on.
        """


class RandomBatches(Batching):
    """Batches of random samples."""

    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return `order`."""
        return order


class SimilarBatches(Batching):
    """Batches of samples with the same visual shape and similar length: less padding, and less waiting of devices.

    Random pools of samples, each as large as several batches, are sorted by the number of frames, by the part of the
    canvas that the picture fills, and by the length of the text. Each is cut into batches, which come in random order.
    The largest batch is the first of an epoch, so that one which does not fit into memory fails at once, and samples
    that do not fill a batch are the last. With `manifest: Manifest`, shapes are exact; without, only videos, pictures
    and text without a clip are distinguished.
    """

    def __init__(self, pool_batches: int = 64) -> None:
        """Check the size of a pool.

        Args:
            pool_batches: number of batches per pool; with more, samples of a batch are more similar, and batches vary
                less from epoch to epoch.

        Raises:
            ValueError: `pool_batches` is below 2, which would give random batches.
        """
        if pool_batches < 2:
            raise ValueError(
                f"data.init_args.batching.init_args.pool_batches is {pool_batches}; it must be at least 2, or use "
                "RandomBatches"
            )
        self.pool_batches = pool_batches

    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return the samples batch by batch."""
        whole = len(order) - len(order) % at_once
        size = sizes()
        shapes, text = size.shapes[order[:whole]], size.text[order[:whole]]
        pool = np.arange(whole) // (self.pool_batches * at_once)
        # The last key is the primary one; equal samples keep their random order.
        alike = np.lexsort((text, *shapes.T[::-1], pool))
        batches = order[:whole][alike].reshape(-1, at_once)
        batches = batches[torch.randperm(len(batches), generator=generator).numpy()]
        if len(batches):
            tokens = size.shapes.prod(1)[batches].sum(1)
            # The number of visual tokens decides, and among equal ones the longest text.
            largest = int(np.lexsort((size.text[batches].max(1), tokens))[-1])
            batches[[0, largest]] = batches[[largest, 0]]
        return np.concatenate([batches.reshape(-1), order[whole:]])


class SharedBatches(Sampler[list[int]]):
    """The batches of one process. All processes have equally many; missing ones are empty."""

    def __init__(self, order: Sequence[int], batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        """Divide the samples into batches.

        Args:
            order: indices of the samples, in order.
            batch_size: number of samples per batch.
            rank: index of this process.
            ranks: number of processes; batch `i` goes to process `i % ranks`.
        """
        batches = [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
        self.batches = batches[rank::ranks]
        self.batches += [[]] * (-(-len(batches) // ranks) - len(self.batches))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


class EvaluationBatches(SharedBatches):
    """Batches of the questions that are not answered yet, clip by clip.

    Questions about one clip are neighbours, shortest first. The thousands of tokens of a clip decide the length of a
    sample, so a batch has little padding, and cached results of a clip are used at once.
    """

    def __init__(
        self, records: Sequence[Record], batch_size: int, rank: int = 0, ranks: int = 1, answered: Collection[str] = ()
    ) -> None:
        """Sort the questions and divide them into batches.

        Args:
            records: one record for each question.
            batch_size: number of questions per batch.
            rank: index of this process.
            ranks: number of processes; batch `i` goes to process `i % ranks`.
            answered: ids of records that are left out. If all are answered, one is asked again, since a test needs a
                batch.
        """
        keys = [(str(record.video or ""), len(record.turns[-1].question)) for record in records]
        remaining = [index for index, record in enumerate(records) if record.id not in answered]
        remaining = remaining or [0]
        remaining.sort(key=lambda index: (keys[index], index))
        super().__init__(remaining, batch_size, rank, ranks)


@dataclass(frozen=True)
class EpochPlace:
    """A position between two batches of an epoch, as stored in a checkpoint.

    Attributes:
        epoch: number of the epoch.
        samples: number of its samples that all processes together have seen.
        at_once: number of samples per batch over all processes.
        order: description of everything that decides the order of samples.
    """

    epoch: int
    samples: int
    at_once: int
    order: str

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> EpochPlace:
        """Return the position stored in a checkpoint.

        Raises:
            ValueError: the checkpoint has no valid position.
        """
        kinds = {"epoch": int, "samples": int, "at_once": int, "order": str}
        if state.keys() != kinds.keys() or any(type(state[name]) is not kind for name, kind in kinds.items()):
            raise ValueError(f"the checkpoint does not say where its epoch stands, but {dict(state)!r:.200}")
        return cls(**state)

    def check_same_epoch(self, at_once: int, order: str) -> None:
        """Refuse to resume in the middle of a different epoch, in which samples would be seen twice or never.

        Args:
            at_once: number of samples per batch over all processes of the resumed run.
            order: description of the order of samples of the resumed run.

        Raises:
            ValueError: one of the two differs from the checkpoint.
        """
        if self.samples and at_once != self.at_once:
            raise ValueError(
                f"the checkpoint stands in the middle of an epoch, of which the run had taken {self.at_once} samples "
                f"at a time, and this one takes data.init_args.batch_size x devices = {at_once}; set batch_size so "
                "that it takes as many"
            )
        if self.samples and order != self.order:
            raise ValueError(
                f"the checkpoint stands in the middle of an epoch of {self.order}, and this run's epochs are of "
                f"{order}; go on with the same data, seed_everything and data.init_args.batching"
            )


class SeededOrder(Sampler[int]):
    """A permutation per epoch that depends only on the seed, the epoch and the batching.

    Indices continue from epoch to epoch: index `i` of epoch `e` is `e * size + i`, so that every process that loads a
    sample knows its epoch (`divmod(index, size)`).

    Lightning calls `set_epoch` at the start of every epoch. After a resume, the first `skip` samples of that epoch,
    which the interrupted run has seen, are left out; the length remains that of the whole epoch, since Lightning counts
    with it.
    """

    def __init__(
        self, size: int, seed: int, rank: int = 0, ranks: int = 1, arrange: Arrange = lambda order, generator: order
    ) -> None:
        """Define the order.

        Args:
            size: number of samples in the data set.
            seed: seed of all epochs.
            rank: index of this process.
            ranks: number of processes; each takes every `ranks`-th sample, and the first samples are repeated so that
                all take equally many.
            arrange: function that places samples of a batch next to each other, in the same way in every process.
        """
        self.size, self.seed, self.rank, self.ranks, self.arrange = size, seed, rank, ranks, arrange
        self.epoch = 0
        self.skip_epoch, self.skip = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order comes next."""
        self.epoch = epoch

    def resume(self, epoch: int, samples: int) -> None:
        """Resume `epoch` after its first `samples` samples of this rank.

        This also sets the epoch: in a resumed run, Lightning starts the loader and its processes before `set_epoch`.
        """
        self.skip_epoch, self.skip = epoch, samples
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.ranks)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = self.arrange(torch.randperm(self.size, generator=generator).numpy(), generator).tolist()
        order += order[: len(self) * self.ranks - self.size]
        start = self.skip if self.epoch == self.skip_epoch else 0
        return (self.epoch * self.size + index for index in order[self.rank :: self.ranks][start:])

"""Which samples come together in a batch, and in which order: the family `batching`, evaluation, resumed epochs."""

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
    """Arranges the order of an epoch, of which every `at_once` samples in a row are a batch over all devices."""

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return the same samples in the order in which they are batched.

        Args:
            order: of the samples, by chance.
            generator: decides what is left to chance.
            sizes: returns the sizes of all samples, by their numbers.
            at_once: samples per batch over all devices; device `r` of `n` takes every `n`-th of them from `r` on.
        """


class RandomBatches(Batching):
    """Whatever comes together by chance."""

    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return `order`."""
        return order


class SimilarBatches(Batching):
    """Samples of one visual shape and of about the same length: little padding, and devices that wait less.

    Each pool of samples, some batches large and put together by chance, is sorted by frames, by the part of the canvas
    that the picture fills, and by the length of the text; batches are cut from that, and come in random order. The
    largest is the first of an epoch, so that a batch which does not fit into memory fails at once, and samples that
    make no whole batch are the last. Shapes are the true ones with `manifest: Manifest`; without, only videos,
    pictures and text alone are told apart.
    """

    def __init__(self, pool_batches: int = 64) -> None:
        """Keep the size of a pool.

        Args:
            pool_batches: batches per pool; more are more alike within, and depend less on chance from epoch to epoch.

        Raises:
            ValueError: fewer than two, which would be chance.
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
        # By the last key first; what is equal stays in its random order.
        alike = np.lexsort((text, *shapes.T[::-1], pool))
        batches = order[:whole][alike].reshape(-1, at_once)
        batches = batches[torch.randperm(len(batches), generator=generator).numpy()]
        if len(batches):
            tokens = size.shapes.prod(1)[batches].sum(1)
            # Visual tokens weigh more than any text; among equal ones the longest text decides.
            largest = int(np.lexsort((size.text[batches].max(1), tokens))[-1])
            batches[[0, largest]] = batches[[largest, 0]]
        return np.concatenate([batches.reshape(-1), order[whole:]])


class SharedBatches(Sampler[list[int]]):
    """Batches of one process. Every process has as many as the others; where it lacks one, that is empty."""

    def __init__(self, order: Sequence[int], batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        """Make the batches.

        Args:
            order: places of the questions.
            batch_size: questions at a time.
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
    """Batches of those questions that are not answered already, clip by clip.

    Questions about one clip are neighbours, shortest first: a clip with its thousands of tokens decides how long a
    sample is, so that a batch has little padding, and what is kept of a clip is used at once.
    """

    def __init__(
        self, records: Sequence[Record], batch_size: int, rank: int = 0, ranks: int = 1, answered: Collection[str] = ()
    ) -> None:
        """Find the order.

        Args:
            records: of the questions.
            batch_size: as for `SharedBatches`.
            rank: the same.
            ranks: the same.
            answered: ids of records that are left out. If they are all, one is asked again: a test has a batch.
        """
        keys = [(str(record.video or ""), len(record.turns[-1].question)) for record in records]
        left = [index for index, record in enumerate(records) if record.id not in answered]
        left = left or [0]
        left.sort(key=lambda index: (keys[index], index))
        super().__init__(left, batch_size, rank, ranks)


@dataclass(frozen=True)
class EpochPlace:
    """A place between two batches, as a checkpoint keeps it.

    Attributes:
        epoch: number of the epoch.
        samples: of it that have been seen, by all processes.
        at_once: samples of a batch, over all processes.
        order: what decides the order of samples, in words.
    """

    epoch: int
    samples: int
    at_once: int
    order: str

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> EpochPlace:
        """Return the place that a checkpoint has kept.

        Raises:
            ValueError: it is none.
        """
        kinds = {"epoch": int, "samples": int, "at_once": int, "order": str}
        if state.keys() != kinds.keys() or any(type(state[name]) is not kind for name, kind in kinds.items()):
            raise ValueError(f"the checkpoint does not say where its epoch stands, but {dict(state)!r:.200}")
        return cls(**state)

    def check_same_epoch(self, at_once: int, order: str) -> None:
        """Refuse to go on in the middle of an epoch that is another one: samples would be seen twice or never.

        Args:
            at_once: of the run that goes on.
            order: of the run that goes on.

        Raises:
            ValueError: either is another.
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
    """A permutation per epoch that depends on nothing but the seed, the epoch and how samples are batched.

    It counts on from epoch to epoch: index `i` of epoch `e` is `e * size + i`, so that whoever loads a sample, in
    whatever process, knows the epoch (`divmod(index, size)`).

    `set_epoch` is called by Lightning at the start of every epoch. After a resume, `skip` samples of that one epoch,
    which the interrupted run has seen, are left out; the length stays that of the whole epoch, by which Lightning
    counts.
    """

    def __init__(
        self, size: int, seed: int, rank: int = 0, ranks: int = 1, arrange: Arrange = lambda order, generator: order
    ) -> None:
        """Define the order.

        Args:
            size: number of samples of the data set.
            seed: seed of all epochs.
            rank: index of this process.
            ranks: number of processes; each takes every `ranks`-th sample, the first ones are repeated to be even.
            arrange: puts samples that are to be batched together next to each other, the same on every process.
        """
        self.size, self.seed, self.rank, self.ranks, self.arrange = size, seed, rank, ranks, arrange
        self.epoch = 0
        self.skip_epoch, self.skip = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def resume(self, epoch: int, samples: int) -> None:
        """Go on with `epoch` without its first `samples` (of this rank).

        It comes next already: Lightning has a resumed run's loader begin, and its processes fetch, before `set_epoch`.
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

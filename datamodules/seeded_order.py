"""The order of training samples: fixed by (seed, epoch), and able to go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

Arrange = Callable[[np.ndarray, torch.Generator], np.ndarray]


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

"""Which records are learnt from: of a source (`take`) or of the whole training set (`train_records`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Int64


class RecordSelection(ABC):
    """The families `train_records` and `take`."""

    @abstractmethod
    def size(self, count: int) -> int:
        """Return how many of `count` records are chosen.

        Raises:
            ValueError: there are fewer than are to be chosen.
        """

    @abstractmethod
    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return which of `count` records are chosen, in rising order.

        Raises:
            ValueError: there are fewer than are to be chosen.
        """


class AllRecords(RecordSelection):
    """Every record."""

    def size(self, count: int) -> int:
        """Return `count`."""
        return count

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return all."""
        return np.arange(count)


class FirstRecords(RecordSelection):
    """The first so many records, in the order of their file."""

    def __init__(self, count: int) -> None:
        """Keep the number.

        Args:
            count: of records, at least 1.

        Raises:
            ValueError: less than 1.
        """
        self.count = _at_least_one(count, type(self))

    def size(self, count: int) -> int:
        """Return the number that was asked for."""
        return _available(self.count, count, type(self))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return the first ones."""
        return np.arange(self.size(count))


class RandomRecords(RecordSelection):
    """So many records by chance, the same in every run."""

    def __init__(self, count: int, seed: int = 0) -> None:
        """Keep the numbers.

        Args:
            count: of records, at least 1.
            seed: of the choice; other than the run's, so that runs with different seeds learn from the same records.

        Raises:
            ValueError: less than 1.
        """
        self.count = _at_least_one(count, type(self))
        self.seed = seed

    def size(self, count: int) -> int:
        """Return the number that was asked for."""
        return _available(self.count, count, type(self))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return some by chance."""
        return random_indices(count, self.size(count), self.seed)


class RandomShare(RecordSelection):
    """A random share of the records, the same in every run (official: half of them, in the first stage)."""

    def __init__(self, share: float = 0.5, seed: int = 0) -> None:
        """Keep the numbers.

        Args:
            share: of the records, above 0 and up to 1.
            seed: of the choice; other than the run's, so that runs with different seeds learn from the same records.

        Raises:
            ValueError: the share is not in that range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"RandomShare: init_args.share is {share}; it must be above 0 and at most 1")
        self.share = share
        self.seed = seed

    def size(self, count: int) -> int:
        """Return `share` of `count`, rounded, at least one of those there are."""
        return min(count, max(1, round(self.share * count)))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return `share` of them by chance."""
        return random_indices(count, self.size(count), self.seed)


def random_indices(count: int, chosen: int, seed: int) -> Int64[np.ndarray, "chosen"]:
    """Return `chosen` different numbers below `count`, rising, decided by `seed`."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    indices: np.ndarray = order[:chosen].sort().values.numpy()
    return indices


def _at_least_one(count: int, selection: type[RecordSelection]) -> int:
    if count < 1:
        raise ValueError(f"{selection.__name__}: init_args.count is {count}; it must be at least 1")
    return count


def _available(wanted: int, count: int, selection: type[RecordSelection]) -> int:
    if wanted > count:
        raise ValueError(f"{selection.__name__}: init_args.count is {wanted}, but there are only {count} records")
    return wanted

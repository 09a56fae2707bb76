"""Selects the records to train on, from a source (`take`) or from the whole training set (`train_records`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Int64


class RecordSelection(ABC):
    """The families `train_records` and `take`: which records are trained on."""

    @abstractmethod
    def size(self, count: int) -> int:
        """Return how many of `count` records are selected.

        Raises:
            ValueError: there are fewer records than should be selected.
        """

    @abstractmethod
    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return the indices of the selected records among `count`, in ascending order.

        Raises:
            ValueError: there are fewer records than should be selected.
        """


class AllRecords(RecordSelection):
    """Selects every record."""

    def size(self, count: int) -> int:
        """Return `count`."""
        return count

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return all indices."""
        return np.arange(count)


class FirstRecords(RecordSelection):
    """Selects the first records of the file."""

    def __init__(self, count: int) -> None:
        """Check the number.

        Args:
            count: number of records to select, at least 1.

        Raises:
            ValueError: `count` is below 1.
        """
        self.count = _at_least_one(count, type(self))

    def size(self, count: int) -> int:
        """Return the number of records to select."""
        return _available(self.count, count, type(self))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return the first indices."""
        return np.arange(self.size(count))


class RandomRecords(RecordSelection):
    """Selects a number of records at random, the same in every run."""

    def __init__(self, count: int, seed: int = 0) -> None:
        """Check the number.

        Args:
            count: number of records to select, at least 1.
            seed: seed of the selection, separate from the seed of the run, so that runs with different seeds train on
                the same records.

        Raises:
            ValueError: `count` is below 1.
        """
        self.count = _at_least_one(count, type(self))
        self.seed = seed

    def size(self, count: int) -> int:
        """Return the number of records to select."""
        return _available(self.count, count, type(self))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return random indices."""
        return random_indices(count, self.size(count), self.seed)


class RandomShare(RecordSelection):
    """Selects a random share of the records, the same in every run (official: half of them in the first stage)."""

    def __init__(self, share: float = 0.5, seed: int = 0) -> None:
        """Check the share.

        Args:
            share: share of the records to select, above 0 and up to 1.
            seed: seed of the selection, separate from the seed of the run, so that runs with different seeds train on
                the same records.

        Raises:
            ValueError: the share is outside that range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"RandomShare: init_args.share is {share}; it must be above 0 and at most 1")
        self.share = share
        self.seed = seed

    def size(self, count: int) -> int:
        """Return `share` of `count`, rounded, but at least 1 if there are any records."""
        return min(count, max(1, round(self.share * count)))

    def indices(self, count: int) -> Int64[np.ndarray, "chosen"]:
        """Return random indices."""
        return random_indices(count, self.size(count), self.seed)


def random_indices(count: int, chosen: int, seed: int) -> Int64[np.ndarray, "chosen"]:
    """Return `chosen` different random numbers below `count` in ascending order; they depend on `seed` only."""
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

"""Which of the training records are learnt from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from datamodules.records.record import Record


class RecordSelection(ABC):
    """The family `train_records`."""

    @abstractmethod
    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """Return the chosen records, in their order."""

    @abstractmethod
    def size(self, count: int) -> int:
        """Return how many of `count` records are chosen."""


class AllRecords(RecordSelection):
    """Every record."""

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """Return `records`."""
        return list(records)

    def size(self, count: int) -> int:
        """Return `count`."""
        return count


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
            raise ValueError(
                f"data.init_args.train_records.init_args.share is {share}; it must be above 0 and at most 1"
            )
        self.share = share
        self.seed = seed

    def __call__(self, records: Sequence[Record]) -> list[Record]:
        """Return `share` of the records."""
        order = torch.randperm(len(records), generator=torch.Generator().manual_seed(self.seed))
        return [records[index] for index in order[: self.size(len(records))].sort().values.tolist()]

    def size(self, count: int) -> int:
        """Return `share` of `count`, rounded, at least one of those there are."""
        return min(count, max(1, round(self.share * count)))

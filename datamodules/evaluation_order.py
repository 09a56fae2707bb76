"""The order of questions, shared out among processes: each is in one batch of one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from torch.utils.data import Sampler

from datamodules.records import Record


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

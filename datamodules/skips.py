"""Counts the clips and records that a run has left out; a policy stops the run if there are too many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from datamodules.long_records import LongRecords
from datamodules.video.media_policy import MediaPolicy, Skipped


class SkipCounter:
    """Counts unreadable clips and records that are too long, each once, however often it occurs.

    Attributes:
        failed: reason why a clip cannot be read, by clip.
        replaced: unreadable clips that were replaced by others in training.
        left_out: unreadable clips whose samples were left out.
        long: description of the length of each record that is too long, by its name.
    """

    def __init__(self, bad_media: MediaPolicy, long_records: LongRecords) -> None:
        """Start with zero counts.

        Args:
            bad_media: policy for clips that cannot be read.
            long_records: policy for records that are too long.
        """
        self.bad_media = bad_media
        self.long_records = long_records
        self.failed: dict[str, str] = {}
        self.replaced: set[str] = set()
        self.left_out: set[str] = set()
        self.long: dict[str, str] = {}
        self._clips = self._records = 0

    def expect(self, clips: int, records: int) -> None:
        """Add a split with a number of distinct clips and records; shares refer to the largest split."""
        self._clips, self._records = max(self._clips, clips), max(self._records, records)

    def count(self, skipped: Iterable[Skipped]) -> None:
        """Add the clips that a batch has left out or replaced.

        Raises:
            ValueError: there are too many for the policy.
        """
        for skip in skipped:
            self.failed.setdefault(skip.video, skip.reason)
            (self.replaced if skip.substitute else self.left_out).add(skip.video)
        self._check()

    def count_long(self, lengths: Mapping[str, str]) -> None:
        """Add records that are left out because they are too long.

        Args:
            lengths: description of the length of each record, by its name.

        Raises:
            ValueError: there are too many for the policy.
        """
        self.long |= {name: length for name, length in lengths.items() if name not in self.long}
        self._check()

    def take_in(self, others: Iterable[SkipCounter]) -> None:
        """Add the counts of other processes of the same run.

        Raises:
            ValueError: there are too many in total for a policy.
        """
        for other in others:
            self.failed = other.failed | self.failed
            self.replaced |= other.replaced
            self.left_out |= other.left_out
            self.long = other.long | self.long
        self._check()

    def _check(self) -> None:
        if self.failed:
            self.bad_media.check(self.failed, self._clips)
        if self.long:
            self.long_records.check(self.long, self._records)

    def figures(self) -> dict[str, float]:
        """Return the numbers of clips and records that were left out or replaced, without zeros."""
        counts = {
            "data/skipped_clips": self.left_out,
            "data/substituted_clips": self.replaced,
            "data/skipped_records": self.long,
        }
        return {name: float(len(items)) for name, items in counts.items() if items}

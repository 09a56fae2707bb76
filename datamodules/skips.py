"""What a run has left out: counted in one place, said in its summary, and ended by a policy where it is too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from datamodules.long_records import LongRecords
from datamodules.video.media_policy import MediaPolicy, Skipped


class SkipCounter:
    """Remembers which clips have failed and which records were too long; each counts once, however often it comes up.

    Attributes:
        failed: reason by clip.
        replaced: those of them in whose place another was learnt from.
        left_out: those of them without which a batch was made.
        long: how long a record is that was left out, by its name.
    """

    def __init__(self, bad_media: MediaPolicy, long_records: LongRecords) -> None:
        """Start with none.

        Args:
            bad_media: decides after each new clip that cannot be read.
            long_records: decides after each new record that is too long.
        """
        self.bad_media = bad_media
        self.long_records = long_records
        self.failed: dict[str, str] = {}
        self.replaced: set[str] = set()
        self.left_out: set[str] = set()
        self.long: dict[str, str] = {}
        self._clips = self._records = 0

    def expect(self, clips: int, records: int) -> None:
        """Learn of a split with so many distinct clips and records; the largest is what shares refer to."""
        self._clips, self._records = max(self._clips, clips), max(self._records, records)

    def count(self, skipped: Iterable[Skipped]) -> None:
        """Take in which clips a batch has left out or replaced.

        Raises:
            ValueError: the policy does not accept it.
        """
        for skip in skipped:
            self.failed.setdefault(skip.video, skip.reason)
            (self.replaced if skip.substitute else self.left_out).add(skip.video)
        self._check()

    def count_long(self, found: Mapping[str, str]) -> None:
        """Take in which records are left out, because they are too long.

        Args:
            found: how long each is, by its name.

        Raises:
            ValueError: the policy does not accept it.
        """
        self.long |= {name: length for name, length in found.items() if name not in self.long}
        self._check()

    def take_in(self, others: Iterable[SkipCounter]) -> None:
        """Take in what other processes have left out or replaced in the same run.

        Raises:
            ValueError: a policy does not accept all of it together.
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
        """Return how many clips were left out or replaced and how many records left out, as far as any were."""
        counts = {
            "data/skipped_clips": self.left_out,
            "data/substituted_clips": self.replaced,
            "data/skipped_records": self.long,
        }
        return {name: float(len(what)) for name, what in counts.items() if what}

"""What happens to a clip that cannot be read: stop at once, leave its samples out up to a limit, or put others there.

Clips are read in loader processes, which see a part of the data each, so they only hand over a `Skipped`; the counting
and the decision are made where all batches come together.
"""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass  # not frozen: Lightning sets the fields of a batch anew when it trains in bf16-true
class Skipped:
    """Takes the place of a sample whose clip cannot be read.

    Attributes:
        record_id: the record that was asked for.
        video: its clip.
        reason: what is wrong with it, in one line.
        substitute: the record that was loaded instead; empty if the sample is left out.
    """

    record_id: str
    video: str
    reason: str
    substitute: str = ""


class MediaPolicy(ABC):
    """The family `bad_media`."""

    @abstractmethod
    def check(self, failed: dict[str, str], clips: int) -> None:
        """Decide whether to go on.

        Args:
            failed: reason by clip, at least one.
            clips: clips of the data set, readable or not.

        Raises:
            ValueError: too many clips have failed.
        """

    def substitutes(self, record_id: str, records: int) -> list[int]:
        """Return which of `records` are tried, in this order, in place of one that cannot be read; here none."""
        return []

    def at_evaluation(self) -> MediaPolicy:
        """Return the policy of validation, test and prediction; here the same."""
        return self


class ErrorOnBadMedia(MediaPolicy):
    """Stop at the first clip that cannot be read."""

    def check(self, failed: dict[str, str], clips: int) -> None:
        """Raise the reason of the first clip."""
        reason = next(iter(failed.values()))
        raise ValueError(
            f"{reason} (data.init_args.bad_media: SkipBadMedia leaves such clips out, SubstituteBadMedia takes others)"
        )


class SkipBadMedia(MediaPolicy):
    """Leave out samples whose clip cannot be read, as long as they are few."""

    def __init__(self, max_share: float = 0.01) -> None:
        """Keep the limit.

        Args:
            max_share: share of all clips, 0 to 1, that may fail before the run is stopped.
        """
        if not 0 <= max_share <= 1:
            raise ValueError(f"data.init_args.bad_media.init_args.max_share is {max_share}; it must be in 0..1")
        self.max_share = max_share

    def check(self, failed: dict[str, str], clips: int) -> None:
        """Raise once the share of failed clips is above the limit."""
        if len(failed) <= self.max_share * clips:
            return
        # Without the clip's name, so that equal faults are counted together.
        kinds = Counter(reason.removeprefix(f"{video}: ") for video, reason in failed.items())
        worst = "; ".join(f"{count} x {kind}" for kind, count in kinds.most_common(3))
        raise ValueError(
            f"{len(failed)} of {clips} clips cannot be read, more than the share"
            f" data.init_args.bad_media.init_args.max_share = {self.max_share} allows. Most often: {worst}."
            f" First: {next(iter(failed.values()))}"
        )


class SubstituteBadMedia(SkipBadMedia):
    """Learn from another record of the split in place of one whose clip cannot be read, as long as these are few.

    Batches keep their size. The other record depends on the seed and the record alone, so it is the same in every epoch
    and in every run with that seed. Its clip can be read: one that cannot is passed over and counted too. Questions
    that are scored are not replaced, since a score would then be about others: there, it is `SkipBadMedia`.
    """

    def __init__(self, max_share: float = 0.01, tries: int = 8, seed: int = 0) -> None:
        """Keep the limits.

        Args:
            max_share: share of all clips, 0 to 1, that may fail before the run is stopped.
            tries: how many other records are tried before the sample is left out.
            seed: of the choice; other than the run's, so that runs with different seeds learn from the same records.

        Raises:
            ValueError: the share is not in that range, or there are no tries.
        """
        super().__init__(max_share)
        if tries < 1:
            raise ValueError(
                f"data.init_args.bad_media.init_args.tries is {tries}; it must be at least 1, or use SkipBadMedia"
            )
        self.tries = tries
        self.seed = seed

    def substitutes(self, record_id: str, records: int) -> list[int]:
        """Return some of the records in random order."""
        return random.Random(f"{self.seed} {record_id}").sample(range(records), min(self.tries, records))

    def at_evaluation(self) -> MediaPolicy:
        """Return `SkipBadMedia` with the same limit, and say so."""
        log.info("clips that cannot be read are replaced in training only; questions about them are left out")
        return SkipBadMedia(self.max_share)

"""What to do about clips that cannot be read: stop, leave out their samples up to a limit, or replace them.

Clips are read in loader processes, each of which sees only a part of the data, so they only return a `Skipped`; the
main process counts these and decides.
"""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass  # not frozen: Lightning assigns the fields of a batch when it trains in bf16-true
class Skipped:
    """Takes the place of a sample whose clip cannot be read.

    Attributes:
        record_id: id of the requested record.
        video: path of its clip.
        reason: what is wrong with the clip, in one line.
        substitute: id of the record that was loaded instead; empty if the sample is left out.
    """

    record_id: str
    video: str
    reason: str
    substitute: str = ""


class MediaPolicy(ABC):
    """The family `bad_media`: what to do about clips that cannot be read."""

    @abstractmethod
    def check(self, failed: dict[str, str], clips: int) -> None:
        """Stop the run if too many clips cannot be read.

        Args:
            failed: reason for each clip that cannot be read; at least one clip.
            clips: number of clips in the data set, readable or not.

        Raises:
            ValueError: too many clips cannot be read.
        """

    def substitutes(self, record_id: str, records: int) -> list[int]:
        """Return the indices of the records to try, in this order, in place of one; here none.

        Args:
            record_id: id of the record whose clip cannot be read.
            records: number of records to choose from.
        """
        return []

    def at_evaluation(self) -> MediaPolicy:
        """Return the policy for validation, test and prediction; here the same."""
        return self


class ErrorOnBadMedia(MediaPolicy):
    """Stops at the first clip that cannot be read."""

    def check(self, failed: dict[str, str], clips: int) -> None:
        """Raise an error with the reason of the first clip."""
        reason = next(iter(failed.values()))
        raise ValueError(
            f"{reason} (data.init_args.bad_media: SkipBadMedia leaves such clips out, SubstituteBadMedia takes others)"
        )


class SkipBadMedia(MediaPolicy):
    """Leaves out samples whose clip cannot be read, up to a limit."""

    def __init__(self, max_share: float = 0.01) -> None:
        """Check the limit.

        Args:
            max_share: share of all clips, 0 to 1, that may fail before the run is stopped.
        """
        if not 0 <= max_share <= 1:
            raise ValueError(f"data.init_args.bad_media.init_args.max_share is {max_share}; it must be in 0..1")
        self.max_share = max_share

    def check(self, failed: dict[str, str], clips: int) -> None:
        """Raise an error once the share of failed clips is above the limit."""
        if len(failed) <= self.max_share * clips:
            return
        # Without the name of the clip, so that equal faults are counted together.
        kinds = Counter(reason.removeprefix(f"{video}: ") for video, reason in failed.items())
        worst = "; ".join(f"{count} x {kind}" for kind, count in kinds.most_common(3))
        raise ValueError(
            f"{len(failed)} of {clips} clips cannot be read, more than the share"
            f" data.init_args.bad_media.init_args.max_share = {self.max_share} allows. Most often: {worst}."
            f" First: {next(iter(failed.values()))}"
        )


class SubstituteBadMedia(SkipBadMedia):
    """Trains on another record of the split in place of one whose clip cannot be read, up to a limit.

    Batches keep their size. The substitute depends only on the seed and the record, so it is the same in every epoch
    and in every run with that seed. Substitutes whose clip cannot be read either are passed over and counted too.
    Scored questions are not replaced, since the score would then be about other questions: they are left out, as by
    `SkipBadMedia`.
    """

    def __init__(self, max_share: float = 0.01, tries: int = 8, seed: int = 0) -> None:
        """Check the limits.

        Args:
            max_share: share of all clips, 0 to 1, that may fail before the run is stopped.
            tries: maximum number of other records that are tried before the sample is left out.
            seed: seed of the choice, separate from the seed of the run, so that runs with different seeds train on the
                same records.

        Raises:
            ValueError: the share is outside that range, or `tries` is below 1.
        """
        super().__init__(max_share)
        if tries < 1:
            raise ValueError(
                f"data.init_args.bad_media.init_args.tries is {tries}; it must be at least 1, or use SkipBadMedia"
            )
        self.tries = tries
        self.seed = seed

    def substitutes(self, record_id: str, records: int) -> list[int]:
        """Return the indices of at most `tries` records in random order."""
        return random.Random(f"{self.seed} {record_id}").sample(range(records), min(self.tries, records))

    def at_evaluation(self) -> MediaPolicy:
        """Return `SkipBadMedia` with the same limit, and log that."""
        log.info("clips that cannot be read are replaced in training only; questions about them are left out")
        return SkipBadMedia(self.max_share)

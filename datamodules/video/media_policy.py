"""What happens to a clip that cannot be read: stop at once, or leave its samples out up to a limit.

Clips are read in loader processes, which see a part of the data each, so they only hand over a `Skipped`; the counting
and the decision are made where all batches come together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass  # not frozen: Lightning sets the fields of a batch anew when it trains in bf16-true
class Skipped:
    """Takes the place of a sample whose clip cannot be read.

    Attributes:
        record_id: the record that was asked for.
        video: its clip.
        reason: what is wrong with it, in one line.
    """

    record_id: str
    video: str
    reason: str


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


class ErrorOnBadMedia(MediaPolicy):
    """Stop at the first clip that cannot be read."""

    def check(self, failed: dict[str, str], clips: int) -> None:
        """Raise the reason of the first clip."""
        reason = next(iter(failed.values()))
        raise ValueError(f"{reason} (data.init_args.bad_media: SkipBadMedia leaves such clips out)")


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


class SkipCounter:
    """Remembers which clips have failed in a run; a clip counts once, however often it comes up.

    Attributes:
        failed: reason by clip.
    """

    def __init__(self, policy: MediaPolicy) -> None:
        """Start with no failures.

        Args:
            policy: decides after each new failure.
        """
        self.policy = policy
        self.failed: dict[str, str] = {}
        self._clips = 0

    def expect(self, clips: int) -> None:
        """Learn of a split with so many distinct clips; the largest is what shares refer to."""
        self._clips = max(self._clips, clips)

    def count(self, skipped: Iterable[Skipped]) -> None:
        """Take in what a batch has left out.

        Raises:
            ValueError: the policy does not accept it.
        """
        for skip in skipped:
            self.failed.setdefault(skip.video, skip.reason)
        if self.failed:
            self.policy.check(self.failed, self._clips)

"""What happens to a record that is longer than the language model takes: stop, or leave it out up to a limit.

It is never cut off: a language model that was given half a conversation would learn from the half.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

REMEDIES = "use fewer frames, a smaller canvas, stronger downsampling or shorter text"


class LongRecords(ABC):
    """The family `long_records`."""

    @abstractmethod
    def check(self, found: dict[str, str], records: int) -> None:
        """Decide whether to go on.

        Args:
            found: how long each record is, in words, by its name; at least one.
            records: records of the data set, too long or not.

        Raises:
            ValueError: too many records are too long.
        """


class ErrorOnLongRecords(LongRecords):
    """Stop before a record is learnt from, or asked about, that is too long."""

    def check(self, found: dict[str, str], records: int) -> None:
        """Raise, with the first record."""
        name, length = next(iter(found.items()))
        more = f" ({len(found)} of {records} records are too long)" if len(found) > 1 else ""
        raise ValueError(
            f"{name} is {length}{more}: {REMEDIES}, or leave such records out with data.init_args.long_records: "
            "SkipLongRecords"
        )


class SkipLongRecords(LongRecords):
    """Leave out records that are too long, as long as they are few; questions about them count as not answered."""

    def __init__(self, max_share: float = 0.01) -> None:
        """Keep the limit.

        Args:
            max_share: share of all records, 0 to 1, that may be too long before the run is stopped.
        """
        if not 0 <= max_share <= 1:
            raise ValueError(f"data.init_args.long_records.init_args.max_share is {max_share}; it must be in 0..1")
        self.max_share = max_share

    def check(self, found: dict[str, str], records: int) -> None:
        """Raise once the share of long records is above the limit."""
        if len(found) <= self.max_share * records:
            return
        name, length = next(iter(found.items()))
        raise ValueError(
            f"{len(found)} of {records} records are too long, more than the share"
            f" data.init_args.long_records.init_args.max_share = {self.max_share} allows; {REMEDIES}. First: {name} is"
            f" {length}"
        )

"""What to do about records that are too long for the language model: stop, or leave them out up to a limit.

A record is never truncated: the language model would be trained on half a conversation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

REMEDIES = "use fewer frames, a smaller canvas, stronger downsampling or shorter text"


class LongRecords(ABC):
    """The family `long_records`: what to do about records that are too long for the language model."""

    @abstractmethod
    def check(self, lengths: dict[str, str], records: int) -> None:
        """Stop the run if too many records are too long.

        Args:
            lengths: description of the length of each record that is too long, by its name; at least one.
            records: number of records in the data set, too long or not.

        Raises:
            ValueError: too many records are too long.
        """


class ErrorOnLongRecords(LongRecords):
    """Stops before a record is used that is too long."""

    def check(self, lengths: dict[str, str], records: int) -> None:
        """Raise an error that names the first record."""
        name, length = next(iter(lengths.items()))
        more = f" ({len(lengths)} of {records} records are too long)" if len(lengths) > 1 else ""
        raise ValueError(
            f"{name} is {length}{more}: {REMEDIES}, or leave such records out with data.init_args.long_records: "
            "SkipLongRecords"
        )


class SkipLongRecords(LongRecords):
    """Leaves out records that are too long, up to a limit; left out questions count as not answered."""

    def __init__(self, max_share: float = 0.01) -> None:
        """Check the limit.

        Args:
            max_share: share of all records, 0 to 1, that may be too long before the run is stopped.
        """
        if not 0 <= max_share <= 1:
            raise ValueError(f"data.init_args.long_records.init_args.max_share is {max_share}; it must be in 0..1")
        self.max_share = max_share

    def check(self, lengths: dict[str, str], records: int) -> None:
        """Raise an error once the share of long records is above the limit."""
        if len(lengths) <= self.max_share * records:
            return
        name, length = next(iter(lengths.items()))
        raise ValueError(
            f"{len(lengths)} of {records} records are too long, more than the share"
            f" data.init_args.long_records.init_args.max_share = {self.max_share} allows; {REMEDIES}. First: {name} is"
            f" {length}"
        )

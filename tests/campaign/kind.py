"""What a campaign consists of: kinds of bad input, and what may become of an attempt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random


class Outcome(StrEnum):
    """What became of an attempt; the last three are failures of the product."""

    RIGHT = "right"  # the result is that of the undamaged input, or what the input says
    NAMED = "named error"  # one line, which names the file, the key or the place
    UNSEEN = "cannot be seen"  # the damaged input is a valid one of something else
    TRACEBACK = "traceback"  # or an error that does not name what is at fault, or a crash
    HANG = "hang"
    WRONG = "wrong"


FAILURES = (Outcome.TRACEBACK, Outcome.HANG, Outcome.WRONG)


@dataclass(frozen=True)
class Attempt:
    """What one attempt has come to.

    Attributes:
        outcome: what became of it.
        what: what was done to the input, and for a failure what was seen.
    """

    outcome: Outcome
    what: str


class WrongError(AssertionError):
    """The product gave a result that is not that of its input."""


class Kind(ABC):
    """One kind of bad input.

    Attributes:
        name: row of the table.
        share: of all cases; those that take long are few.
        seconds: after which an attempt counts as a hang.
    """

    name: str
    share: float
    seconds: float = 60.0

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Make, once, the undamaged inputs that all attempts start from, and their right results."""

    @abstractmethod
    def damage(self, random: Random, folder: Path) -> str:
        """Make the input of one attempt in an empty folder.

        Returns:
            What was done to it, in a few words.
        """

    @abstractmethod
    def use(self, random: Random, folder: Path) -> Outcome:
        """Hand the input to the product, which may raise whatever it raises.

        Returns:
            `RIGHT` or `UNSEEN`.

        Raises:
            WrongError: the result is a wrong one.
        """

    def names(self) -> tuple[str, ...]:
        """Return words of which an error must have one, beside the name of the attempt's folder."""
        return ()

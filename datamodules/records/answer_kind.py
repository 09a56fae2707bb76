"""How a reply is compared with the reference: every record knows what kind of answer its last question asks for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from components.judges.base import Aspect
from components.judges.normalisation import NORMALIZED, normalized, one_form

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What may stand before the letter: "The best answer is: (B)".
_LEAD_IN = re.compile(r"^(?:the )?(?:(?:best|correct|right) )?(?:answer|option)(?: is)?\s*:?\s+", re.IGNORECASE)
# A letter alone is one only with nothing or a mark behind it: "A man" begins with an article.
_FIRST_LETTER = re.compile(r"^(?:\(([A-Za-z])\)|([A-Za-z])(?=$|[.):,;\n]))[.):,;]*\s*")
# Another letter that is meant as a choice: "(C)", "C)", ", C", "or C".
_FURTHER_LETTER = re.compile(r"\(([A-Za-z])\)|(?:^|\s)([A-Z])(?=[.):,;]|\s*$)|(?:^|\s)(?:and|or|&)\s+([A-Z])\b")


def matches(prediction: str, reference: str) -> bool:
    """Return whether the two answers are the same after normalisation."""
    return normalized(prediction) == normalized(reference)


class AnswerKind(ABC):
    """The family of kinds of answers; not a dataclass, since Lightning sets the fields of those in a batch anew.

    Attributes:
        rules: what makes a reply right, in words and patterns; where it differs, other replies may be.
        aspects: for which a judge scores a reply; none if it says whether the reply is right.
        candidates: all answers that the question may have, the right one among them; none where they are not known.
    """

    rules: ClassVar[str]
    aspects: tuple[Aspect, ...] = ()
    candidates: tuple[str, ...] = ()

    @abstractmethod
    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether `reply` is right; None if it is no answer to the question, which counts as not right."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)  # also of another process

    def __hash__(self) -> int:
        return hash(type(self))


class FreeAnswer(AnswerKind):
    """Words of one's own; right if they are the reference's after normalisation."""

    rules = f"the words of the reference, all in their order and no others, in {NORMALIZED}; no synonyms"

    def __init__(self, candidates: tuple[str, ...] = ()) -> None:
        """Keep all answers that there may be, if they are known; a model is not told them."""
        self.candidates = candidates

    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether the two are the same after normalisation."""
        return matches(reply, reference)


class Described(FreeAnswer):
    """Sentences that have to be read: beyond the same words, a judge scores them for some aspects."""

    def __init__(self, *aspects: Aspect) -> None:
        """Keep what a judge is to score."""
        super().__init__()
        self.aspects = aspects


class Choice(AnswerKind):
    """The letter of one of several options; the reference is a letter.

    Attributes:
        options: the texts that can be chosen, in the order of their letters.
    """

    rules = (
        "the letter of the reference, at the start of the reply, or its option's text, or both; with another letter or"
        f" option it is no answer. Texts are compared in {NORMALIZED}. Before the letter: {_LEAD_IN.pattern}; the"
        f" letter: {_FIRST_LETTER.pattern}; another letter: {_FURTHER_LETTER.pattern}"
    )

    def __init__(self, options: Sequence[str]) -> None:
        """Keep the options.

        Raises:
            ValueError: fewer than two options, or more than letters.
        """
        if not 2 <= len(options) <= len(LETTERS):
            raise ValueError(f"{len(options)} options to choose from; there must be 2 to {len(LETTERS)}")
        self.options = tuple(options)
        self.candidates = tuple(LETTERS[: len(options)])

    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether the letter chosen is the reference; None where none is, or more than one."""
        letter = self.chosen(reply)
        return None if letter is None else letter == reference

    def chosen(self, reply: str) -> str | None:
        """Return the letter that `reply` chooses; None if that cannot be told.

        Taken are a letter at the start, as in `B`, `B.`, `(B)` and `B. because ...`, also after words like "The answer
        is", and the full text of an option. A reply with two letters, or with a letter and another option's text, or
        with a text that two options have, chooses none.
        """
        text = _LEAD_IN.sub("", one_form(reply).strip())
        first = _FIRST_LETTER.match(text)
        rest = text[first.end() :] if first else text
        whole = self._with_text(text)
        if first is None or (whole and rest):  # an option may begin like a letter: "C, who cuts the bread"
            return whole[0] if len(whole) == 1 else None
        letter, letters = (first[1] or first[2]).upper(), {*LETTERS[: len(self.options)]}
        meant = self._with_text(rest)
        if not meant:
            further = {(found[1] or found[2] or found[3]).upper() for found in _FURTHER_LETTER.finditer(rest)}
            meant = [] if letters & further - {letter} else [letter]
        return letter if letter in letters and letter in meant else None

    def _with_text(self, text: str) -> list[str]:
        """Return the letters of the options that are `text`."""
        if not normalized(text):
            return []
        return [letter for letter, option in zip(LETTERS, self.options, strict=False) if matches(text, option)]


FREE_ANSWER = FreeAnswer()

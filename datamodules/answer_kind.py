"""How a reply is compared with its reference: how words are normalised, and the kinds of answers that records have."""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from components.yaml_file import read_yaml

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What may stand before the letter: "The best answer is: (B)".
_LEAD_IN = re.compile(r"^(?:the )?(?:(?:best|correct|right) )?(?:answer|option)(?: is)?\s*:?\s+", re.IGNORECASE)
# A letter alone is one only with nothing or a mark behind it: "A man" begins with an article.
_FIRST_LETTER = re.compile(r"^(?:\(([A-Za-z])\)|([A-Za-z])(?=$|[.):,;\n]))[.):,;]*\s*")
# Another letter that is meant as a choice: "(C)", "C)", ", C", "or C".
_FURTHER_LETTER = re.compile(r"\(([A-Za-z])\)|(?:^|\s)([A-Z])(?=[.):,;]|\s*$)|(?:^|\s)(?:and|or|&)\s+([A-Z])\b")
ARTICLES = ("a", "an", "the")
NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NORMALIZED = (
    "one Unicode form (NFC, usual width, no ligatures, nothing invisible), lower case; punctuation becomes space, but "
    " . / : - * ' between two digits, a minus or a point before a number and # beside a letter or digit stay, and "
    "%, &, @ and all symbols are words of their own; what is punctuation alone stays as it is"
)
# Soft hyphens, directions of writing and variants of a glyph; joiners make words and emoji differ, and stay.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
_SAME_CHARACTER = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_WORDS_OF_THEIR_OWN = "%‰٪&@"
_NO_SYMBOLS = "`\xb4\xa8\xaf\xb8©®™"  # which mean no more than punctuation


def matches(prediction: str, reference: str) -> bool:
    """Return whether the two answers are the same after normalisation."""
    return normalized(prediction) == normalized(reference)


class Aspect(StrEnum):
    """What the Video-ChatGPT benchmark asks of an answer instead of whether it is right."""

    CORRECTNESS = "correctness"
    DETAIL = "detail"
    CONTEXT = "context"
    TEMPORAL = "temporal"
    CONSISTENCY = "consistency"


class AnswerKind(ABC):
    """The family of kinds of answers; not a dataclass, since Lightning sets the fields of those in a batch anew.

    Attributes:
        rules: what makes a reply right, in words and patterns; where rules differ, other replies may be right.
        aspects: aspects for which a judge scores a reply; none if the judge says whether it is right.
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


def one_form(text: str) -> str:
    """Return `text` in the one Unicode form in which the same text is always the same characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", "".join(map(_usual, text))))


def normalized(answer: str) -> str:
    """Return the form in which answers are compared, see `NORMALIZED`; it is empty for an empty answer alone."""
    return _without_punctuation(answer) or " ".join(one_form(answer.lower()).split())


def _without_punctuation(answer: str) -> str:
    text = " ".join(one_form(answer.lower()).translate(_DASHES).split())
    text = re.sub(r"(?<=\d) - (?=\d)", "-", text)
    return " ".join(re.sub(r"[^\w\s]", _kept, text).split())


def _usual(character: str) -> str:
    kind = unicodedata.decomposition(character).partition(" ")[0]
    same = kind in _SAME_CHARACTER or (kind == "<compat>" and character.isalpha())
    return unicodedata.normalize("NFKC", character) if same else character


def _kept(mark: re.Match[str]) -> str:
    """Return what stands for a character that is neither letter nor digit: itself, or space."""
    character, text = mark[0], mark.string
    before, after = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 2]
    number = after.removeprefix(".")[:1].isdigit()
    if before.isdigit() and after[:1].isdigit() and character in "./:-*'":
        return character
    if character == "-" and number:
        return " " if before.isalnum() or unicodedata.category(before or " ")[0] == "M" else character
    if character == "." and number:
        return character if before in ("", " ", "-") else " "
    if character == "#":
        return character if before.isalnum() or after[:1].isalnum() else " "
    category = unicodedata.category(character)
    if category[0] == "S" or character in _WORDS_OF_THEIR_OWN:
        return " " if character in _NO_SYMBOLS else f" {character} "
    return " " if category[0] in "PZ" or category == "Cc" else character


class Normalisation:
    """The form of `normalized`, no articles, digits for number words up to twenty, one word for synonyms."""

    def __init__(self, synonyms: Sequence[Sequence[str]] = ()) -> None:
        """Take groups of words or phrases; each stands for the first of its group.

        Raises:
            ValueError: a group of fewer than two, an empty phrase, or a phrase in two groups.
        """
        self.synonyms = [list(group) for group in synonyms]
        self._canonical: dict[tuple[str, ...], tuple[str, ...]] = {}
        for group in self.synonyms:
            phrases = [tuple(_words(phrase)) if _without_punctuation(phrase) else () for phrase in group]
            if len(phrases) < 2 or not all(phrases):
                raise ValueError(f"synonyms {group}: a group is two words or phrases at least, none of them empty")
            for phrase in phrases:
                if self._canonical.setdefault(phrase, phrases[0]) != phrases[0]:
                    raise ValueError(f"synonyms: {' '.join(phrase)!r} is in two groups; join them")
        self._longest = max(map(len, self._canonical), default=0)

    def __call__(self, answer: str) -> str:
        """Return the form in which `answer` is compared."""
        words, result = tuple(_words(answer)), list[str]()
        while words:
            spans = (words[:length] for length in range(min(self._longest, len(words)), 0, -1))
            phrase = next((span for span in spans if span in self._canonical), None)
            result += self._canonical[phrase] if phrase else words[:1]
            words = words[len(phrase or words[:1]) :]
        return " ".join(result)

    @property
    def rules(self) -> str:
        """All of it, as text."""
        return json.dumps(
            {
                "case and punctuation": NORMALIZED,
                "articles left out": ARTICLES,
                "numbers as digits": NUMBERS,
                "synonyms": self.synonyms,
            },
            ensure_ascii=False,
        )


def _words(answer: str) -> list[str]:
    words = [str(NUMBERS.index(word)) if word in NUMBERS else word for word in normalized(answer).split()]
    # An answer may be an article alone: "A" of a choice.
    return [word for word in words if word not in ARTICLES] or words


def read_synonyms(path: str | Path) -> list[list[str]]:
    """Return the groups of a YAML file: a list of lists of words.

    Raises:
        ValueError: it cannot be read, or is something else.
    """
    content = read_yaml(path, "the file of synonyms")
    groups = [] if content is None else content
    if not isinstance(groups, list):
        raise ValueError(f"synonyms {path} must be a list of lists of words, such as `- [bike, bicycle]`")
    for number, group in enumerate(groups, start=1):
        if not isinstance(group, list) or not all(isinstance(word, str) for word in group):
            raise ValueError(
                f"synonyms {path}, group {number} is {group!r}; it must be a list of words, such as "
                "`- [bike, bicycle]` (words like yes, no, on and off in quotes: YAML reads them as true and false)"
            )
    return groups

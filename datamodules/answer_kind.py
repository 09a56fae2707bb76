"""How a reply is compared with its reference answer: the normalisation of words, and the kinds of answers."""

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
# Words before the letter: "The best answer is: (B)".
_LEAD_IN = re.compile(r"^(?:the )?(?:(?:best|correct|right) )?(?:answer|option)(?: is)?\s*:?\s+", re.IGNORECASE)
# A single letter is a choice only if nothing or a punctuation mark follows: "A man" begins with an article.
_FIRST_LETTER = re.compile(r"^(?:\(([A-Za-z])\)|([A-Za-z])(?=$|[.):,;\n]))[.):,;]*\s*")
# Another letter as a choice: "(C)", "C)", ", C", "or C".
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
# Soft hyphens, writing directions and glyph variants. Joiners are kept, since they distinguish words and emoji.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
_SAME_CHARACTER = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_WORDS_OF_THEIR_OWN = "%‰٪&@"
_NO_SYMBOLS = "`\xb4\xa8\xaf\xb8©®™"  # treated like punctuation


def matches(prediction: str, reference: str) -> bool:
    """Return whether the two answers are equal after normalisation."""
    return normalized(prediction) == normalized(reference)


class Aspect(StrEnum):
    """The aspects for which the Video-ChatGPT benchmark scores an answer, instead of right or wrong."""

    CORRECTNESS = "correctness"
    DETAIL = "detail"
    CONTEXT = "context"
    TEMPORAL = "temporal"
    CONSISTENCY = "consistency"


class AnswerKind(ABC):
    """How a reply is compared with its reference answer.

    Not a dataclass, since Lightning assigns the fields of dataclasses in a batch.

    Attributes:
        rules: description of the rules for a right reply; scores under different rules are not comparable.
        aspects: aspects for which a judge scores a reply; empty if the judge decides whether it is right.
        candidates: all possible answers to the question, including the right one; empty if unknown.
    """

    rules: ClassVar[str]
    aspects: tuple[Aspect, ...] = ()
    candidates: tuple[str, ...] = ()

    @abstractmethod
    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether `reply` is right; None if it does not answer the question, which counts as wrong."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)  # also for objects of another process

    def __hash__(self) -> int:
        return hash(type(self))


class FreeAnswer(AnswerKind):
    """An open-ended answer; right if it equals the reference after normalisation."""

    rules = f"the words of the reference, all in their order and no others, in {NORMALIZED}; no synonyms"

    def __init__(self, candidates: tuple[str, ...] = ()) -> None:
        """Set all possible answers, if they are known; they are not shown to the model."""
        self.candidates = candidates

    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether reply and reference are equal after normalisation."""
        return matches(reply, reference)


class Described(FreeAnswer):
    """An answer in sentences, which a judge scores for some aspects in addition to the comparison of words."""

    def __init__(self, *aspects: Aspect) -> None:
        """Set the aspects that a judge scores."""
        super().__init__()
        self.aspects = aspects


class Choice(AnswerKind):
    """A multiple-choice answer; the reference is the letter of an option.

    Attributes:
        options: texts of the options, in the order of their letters.
    """

    rules = (
        "the letter of the reference, at the start of the reply, or its option's text, or both; with another letter or"
        f" option it is no answer. Texts are compared in {NORMALIZED}. Before the letter: {_LEAD_IN.pattern}; the"
        f" letter: {_FIRST_LETTER.pattern}; another letter: {_FURTHER_LETTER.pattern}"
    )

    def __init__(self, options: Sequence[str]) -> None:
        """Check the number of options.

        Raises:
            ValueError: there are fewer than two options, or more than letters.
        """
        if not 2 <= len(options) <= len(LETTERS):
            raise ValueError(f"{len(options)} options to choose from; there must be 2 to {len(LETTERS)}")
        self.options = tuple(options)
        self.candidates = tuple(LETTERS[: len(options)])

    def verdict(self, reply: str, reference: str) -> bool | None:
        """Return whether the chosen letter is the reference; None if the reply chooses no letter or several."""
        letter = self.chosen(reply)
        return None if letter is None else letter == reference

    def chosen(self, reply: str) -> str | None:
        """Return the letter that `reply` chooses; None if it chooses none.

        A reply may begin with a letter, as in `B`, `B.`, `(B)` and `B. because ...`, also after words such as "The
        answer is", or consist of the full text of an option. A reply with two letters, with a letter and the text of
        another option, or with a text that two options share chooses none.
        """
        text = _LEAD_IN.sub("", one_form(reply).strip())
        first = _FIRST_LETTER.match(text)
        rest = text[first.end() :] if first else text
        whole = self._with_text(text)
        if first is None or (whole and rest):  # the text of an option may begin like a letter: "C, who cuts the bread"
            return whole[0] if len(whole) == 1 else None
        letter, letters = (first[1] or first[2]).upper(), {*LETTERS[: len(self.options)]}
        meant = self._with_text(rest)
        if not meant:
            further = {(match[1] or match[2] or match[3]).upper() for match in _FURTHER_LETTER.finditer(rest)}
            meant = [] if letters & further - {letter} else [letter]
        return letter if letter in letters and letter in meant else None

    def _with_text(self, text: str) -> list[str]:
        """Return the letters of the options whose text is `text`."""
        if not normalized(text):
            return []
        return [letter for letter, option in zip(LETTERS, self.options, strict=False) if matches(text, option)]


FREE_ANSWER = FreeAnswer()


def one_form(text: str) -> str:
    """Return `text` in one Unicode form, so that equal texts have equal characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", "".join(map(_usual, text))))


def normalized(answer: str) -> str:
    """Return the form in which answers are compared, see `NORMALIZED`; it is empty only for an empty answer."""
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
    """Return the replacement of a character that is neither letter nor digit: itself or a space."""
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
    """Stronger normalisation than `normalized`: no articles, digits for number words, and one word for synonyms."""

    def __init__(self, synonyms: Sequence[Sequence[str]] = ()) -> None:
        """Check the groups of synonyms.

        Args:
            synonyms: groups of words or phrases; all of a group are replaced by the first.

        Raises:
            ValueError: a group has fewer than two phrases or an empty one, or a phrase is in two groups.
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
        """The rules as text."""
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
    # An answer may consist of an article only: the choice "A".
    return [word for word in words if word not in ARTICLES] or words


def read_synonyms(path: str | Path) -> list[list[str]]:
    """Return the groups of synonyms in a YAML file, which is a list of lists of words.

    Raises:
        ValueError: the file cannot be read or has other content.
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

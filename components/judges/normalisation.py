"""The forms in which answers are compared word by word."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from components.yaml_file import read_yaml

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

"""The forms in which answers are compared word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from components.yaml_file import read_yaml

ARTICLES = ("a", "an", "the")
NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


NORMALIZED = "lower case; what is neither letter, digit nor underscore becomes space"


def normalized(answer: str) -> str:
    """Return `answer` in lower case, without punctuation and surplus space: the form in which answers are compared."""
    return " ".join(re.sub(r"[^\w\s]", " ", answer.lower()).split())


class Normalisation:
    """Lower case, no punctuation, no articles, digits for number words up to twenty, one word for synonyms."""

    def __init__(self, synonyms: Sequence[Sequence[str]] = ()) -> None:
        """Take groups of words or phrases; each stands for the first of its group.

        Raises:
            ValueError: a group of fewer than two, an empty phrase, or a phrase in two groups.
        """
        self.synonyms = [list(group) for group in synonyms]
        self._canonical: dict[tuple[str, ...], tuple[str, ...]] = {}
        for group in self.synonyms:
            phrases = [tuple(_words(phrase)) for phrase in group]
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

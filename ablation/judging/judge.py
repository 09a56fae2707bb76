"""The contract between a judge of answers and those who have answers judged.

A judge that fails says so (`Judgement.unjudged`): nothing counts as wrong because of it. And who judged is part of
every figure: results of two judges are results of two metrics.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datamodules.answer_kind import Aspect, Normalisation, read_synonyms
from lightning_modules.scoring.unit import Unit

BEST_SCORE = 5
POINTS = Unit(BEST_SCORE, 2, f"0 to {BEST_SCORE}", f"The judge's scores of 0 to {BEST_SCORE}", "points", 0.1)


class JudgeError(ValueError):
    """A judge that cannot judge at all: no server, a wrong address, no key. What was judged before stays."""


@dataclass(frozen=True)
class Comparison:
    """An answer to be judged.

    Attributes:
        question: what was asked.
        reference: the right answer.
        prediction: the generated answer.
        aspect: what is judged; None: whether the answer is right.
        second_question: the same question in other words, for consistency.
        second_prediction: the answer that was generated to it.
    """

    question: str
    reference: str
    prediction: str
    aspect: Aspect | None = None
    second_question: str | None = None
    second_prediction: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be judged.

        Raises:
            ValueError: consistency of one answer.
        """
        if self.aspect is Aspect.CONSISTENCY and None in (self.second_question, self.second_prediction):
            raise ValueError("consistency is between two answers: second_question and second_prediction are needed")


@dataclass(frozen=True)
class Judgement:
    """What a judge says.

    Attributes:
        right: whether the answer is right; None where that was not asked or not judged.
        score: from 0 to 5; None where the judge gives none or did not judge.
        reply: what the judge wrote, as it is.
        unjudged: why there is neither; None if there is.
        answered_by: what a server says that it is.
    """

    right: bool | None = None
    score: float | None = None
    reply: str | None = None
    unjudged: str | None = None
    answered_by: str | None = None


@dataclass(frozen=True)
class JudgeIdentity:
    """Who judged.

    Attributes:
        name: of the judge or its model.
        revision: which one of this name.
        prompt: hash of its prompts, or of its rules.
        settings: all else that its judgements depend on, as JSON.
    """

    name: str
    revision: str
    prompt: str
    settings: str = "{}"

    @classmethod
    def of(cls, name: str, revision: str, prompt: str, settings: Mapping[str, object]) -> JudgeIdentity:
        """Return the identity of a judge with this prompt text and these settings."""
        return cls(name, revision, digest(prompt), json.dumps(settings, sort_keys=True, ensure_ascii=False))

    @property
    def hash(self) -> str:
        """Hash of all of it."""
        return digest(json.dumps([self.name, self.revision, self.prompt, self.settings]))

    @property
    def label(self) -> str:
        """Name and hash: what files and figures of this judge are called by."""
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', self.name).strip('._') or 'judge'}-{self.hash[:8]}"


class Judge(ABC):
    """Compares answers with references: the family `judges`.

    Attributes:
        batch_size: how many comparisons `judge` is best given at once.
        concurrency: how many threads may call `judge` at once.
        scores: whether it scores aspects of an answer, and not only tells whether it is right.
    """

    batch_size: int = 1
    concurrency: int = 1
    scores: bool = True

    @property
    @abstractmethod
    def identity(self) -> JudgeIdentity:
        """Who judges."""

    @abstractmethod
    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Judge each comparison.

        Raises:
            JudgeError: there is no use in asking it anything.
            ValueError: a comparison is none that this judge can make.
        """

    def prompt_length(self, comparison: Comparison) -> int:
        """Return how many characters the judge would be asked with; 0 of one that is not asked."""
        return 0

    def stop(self) -> None:  # noqa: B027  (most have nothing to stop)
        """Give up what is being tried, and try nothing again."""


class ExactMatch(Judge):
    """An answer is right if it has the words of the reference, in their order; it gets no score."""

    batch_size = 1000
    scores = False

    def __init__(self, synonyms: list[list[str]] | str = "") -> None:
        """Choose what counts as the same.

        Args:
            synonyms: groups of words or phrases that mean the same, or a YAML file of them; none by default.

        Raises:
            ValueError: the synonyms cannot be read, or contradict each other.
        """
        groups = (read_synonyms(synonyms) if synonyms else []) if isinstance(synonyms, str) else synonyms
        self.normalisation = Normalisation(groups)

    @property
    def identity(self) -> JudgeIdentity:
        """Its name and the hash of all its rules."""
        return JudgeIdentity.of("ExactMatch", "1", self.normalisation.rules, {"judge": type(self).__name__})

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Compare words.

        Raises:
            ValueError: an aspect is asked for.
        """
        return [self._judge(comparison) for comparison in comparisons]

    def _judge(self, comparison: Comparison) -> Judgement:
        if comparison.aspect is not None:
            raise ValueError(f"ExactMatch tells right from wrong and gives no score for {comparison.aspect}")
        ours, theirs = self.normalisation(comparison.prediction), self.normalisation(comparison.reference)
        return Judgement(right=ours == theirs, reply=ours)


def digest(text: str) -> str:
    """Return the SHA-256 of a text, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

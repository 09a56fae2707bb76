"""The interface of judges of answers.

A judge that fails says so (`Judgement.unjudged`), so that no answer counts as wrong because of it. Every figure is
labelled with its judge, since results of two judges are results of two metrics.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datamodules.answer_kind import Aspect, Normalisation, read_synonyms
from lightning_modules.scoring.metrics import Unit

BEST_SCORE = 5
POINTS = Unit(BEST_SCORE, 2, f"0 to {BEST_SCORE}", f"The judge's scores of 0 to {BEST_SCORE}", "points", 0.1)


class JudgeError(ValueError):
    """A judge cannot judge at all: no server, a wrong address, no key. Earlier judgements are kept."""


@dataclass(frozen=True)
class Comparison:
    """An answer to be judged.

    Attributes:
        question: question about the video.
        reference: right answer.
        prediction: generated answer.
        aspect: judged aspect; None for right or wrong.
        second_question: rephrased question, for consistency.
        second_prediction: generated answer to the rephrased question.
    """

    question: str
    reference: str
    prediction: str
    aspect: Aspect | None = None
    second_question: str | None = None
    second_prediction: str | None = None

    def __post_init__(self) -> None:
        """Check that a comparison for consistency has two answers.

        Raises:
            ValueError: it has one.
        """
        if self.aspect is Aspect.CONSISTENCY and None in (self.second_question, self.second_prediction):
            raise ValueError("consistency is between two answers: second_question and second_prediction are needed")


@dataclass(frozen=True)
class Judgement:
    """A judgement of a comparison.

    Attributes:
        right: whether the answer is right; None for an aspect, or if it is unjudged.
        score: score from 0 to 5; None if the judge gives none.
        reply: unchanged reply of the judge.
        unjudged: reason why there is no judgement; None if there is one.
        answered_by: name of the model according to the server.
    """

    right: bool | None = None
    score: float | None = None
    reply: str | None = None
    unjudged: str | None = None
    answered_by: str | None = None


@dataclass(frozen=True)
class JudgeIdentity:
    """The identity of a judge.

    Attributes:
        name: name of the judge or its model.
        revision: revision of the model.
        prompt: hash of the prompts or rules.
        settings: all other settings that judgements depend on, as JSON.
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
        """Hash of the whole identity."""
        return digest(json.dumps([self.name, self.revision, self.prompt, self.settings]))

    @property
    def label(self) -> str:
        """Name and hash, for the names of files and figures."""
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', self.name).strip('._') or 'judge'}-{self.hash[:8]}"


class Judge(ABC):
    """Compares answers with references: the family `judges`.

    Attributes:
        batch_size: number of comparisons per call of `judge`.
        concurrency: number of threads that may call `judge` at once.
        scores: whether the judge scores aspects of an answer, beside right or wrong.
    """

    batch_size: int = 1
    concurrency: int = 1
    scores: bool = True

    @property
    @abstractmethod
    def identity(self) -> JudgeIdentity:
        """Identity of the judge."""

    @abstractmethod
    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Judge each comparison.

        Raises:
            JudgeError: the judge cannot judge at all.
            ValueError: this judge does not support a comparison.
        """

    def prompt_length(self, comparison: Comparison) -> int:
        """Return the length of the prompt in characters; 0 for a judge without a prompt."""
        return 0

    def stop(self) -> None:  # noqa: B027  (most have nothing to stop)
        """Make no further tries."""


class ExactMatch(Judge):
    """An answer is right if it has the words of the reference, in their order; it gets no score."""

    batch_size = 1000
    scores = False

    def __init__(self, synonyms: list[list[str]] | str = "") -> None:
        """Set the synonyms.

        Args:
            synonyms: groups of words or phrases with the same meaning, or a YAML file of them; none by default.

        Raises:
            ValueError: the synonyms cannot be read, or contradict each other.
        """
        groups = (read_synonyms(synonyms) if synonyms else []) if isinstance(synonyms, str) else synonyms
        self.normalisation = Normalisation(groups)

    @property
    def identity(self) -> JudgeIdentity:
        """Name of the judge and hash of its rules."""
        return JudgeIdentity.of("ExactMatch", "1", self.normalisation.rules, {"judge": type(self).__name__})

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Compare words.

        Raises:
            ValueError: a comparison has an aspect.
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

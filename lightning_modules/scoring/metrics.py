"""Metrics: the score of an answer, the interval of a mean over answers, and how it is shown.

A metric reads an answer as it is in `answers/test.jsonl`, so validation, test and `compare`, which reads that file
later, use the same code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from datamodules.answer_kind import AnswerKind, Normalisation
from lightning_modules.scoring.interval import Interval, clustered_mean_of_means, clustered_mean_of_shares


@dataclass(frozen=True)
class Unit:
    """A unit in which means of a metric are shown. Statistics are of shares, whatever the unit.

    Attributes:
        best: displayed value of a share of 1.
        digits: number of decimal places.
        sign: sign of the unit, after the name of a score.
        what: quantity, as the beginning of a caption.
        points: unit of differences.
        smallest: default for the smallest difference that matters, as displayed.
    """

    best: float
    digits: int
    sign: str
    what: str
    points: str
    smallest: float

    def value(self, share: float, sign: bool = False) -> str:
        """Return a share as displayed, a difference of shares with its sign. Zero is never negative."""
        return f"{round(self.best * share, self.digits) + 0.0:{'+' if sign else ''}.{self.digits}f}"

    def gap(self, share: float) -> str:
        """Return a difference of shares as displayed."""
        return self.value(share, sign=True)

    def bounds(self, interval: Interval, sign: bool = False) -> str:
        """Return a share and its bounds as displayed, a difference with its signs."""
        value, low, high = (self.value(share, sign) for share in (interval.value, interval.low, interval.high))
        return f"{value} [{low}, {high}]"


PERCENT = Unit(100, 1, "%", "Right answers in percent", "percentage points", 2.0)


UNASKED: Mapping[str, Any] = {"answered": False, "right": False}  # a question whose clip is missing or cannot be read


class Metric(ABC):
    """A metric of answers. Exact match and log-likelihood are always computed; `model.metrics` adds further ones.

    Attributes:
        name: first part of the names of its figures, such as `exact_match/colour`.
        title: name in charts and headings.
        unit: unit in which its means are shown.
        bounds: smallest and largest value of an answer; a metric with both has the statistics of shares, 0 to 1.
        benchmark: first part of the name of its figure over all questions of a benchmark, also those not asked; None
            without such a figure.
    """

    name: str
    title: str
    unit: Unit
    bounds: tuple[float, float] = (0.0, 1.0)
    benchmark: str | None = None

    @abstractmethod
    def value(self, answer: Mapping[str, Any]) -> float | None:
        """Return the value of an answer; None if the metric does not apply to its question.

        Args:
            answer: a line of `answers/test.jsonl`, or `UNASKED`.

        Raises:
            ValueError: the line is damaged.
        """

    def measures(self, kind: AnswerKind) -> bool:
        """Return whether the metric applies to questions with this kind of answer."""
        return True

    def interval(
        self, values: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable]
    ) -> Interval | None:
        """Return the unweighted mean of the families' means with its 95 % interval; None if the spread is not known.

        Args:
            values: value of each answer.
            clusters: video of each answer.
            families: family of each answer.
        """
        return clustered_mean_of_shares(values, clusters, families)

    @property
    def column(self) -> str:
        """Name in tables."""
        return self.title

    @property
    def heading(self) -> str:
        """Heading of its section on a page."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def scale(self) -> str:
        """Meaning of its values, for captions."""
        return f"{self.unit.best:g} is best"


class ExactMatch(Metric):
    """Whether a reply is right by the rules of its kind of answer (`datamodules.answer_kind`)."""

    name, title, unit, benchmark = "exact_match", "exact match", PERCENT, "accuracy"

    def value(self, answer: Mapping[str, Any]) -> float:
        """Return 1 for a right answer and 0 for any other."""
        right = answer["right"]
        if not isinstance(right, bool):
            raise ValueError(f"`right` of question {answer['id']!r} is {right!r}; it must be true or false")
        return float(right)


class LogLikelihood(Metric):
    """Log-likelihood of the right answer among all possible ones (see `candidate_likelihood`), in nats."""

    name, title = "log_likelihood", "log-likelihood of the right answer"
    column, heading = "log-likelihood", "How likely the right answer is"
    unit = Unit(1, 3, "nats", "Mean log-likelihood of the right answer among all that a question may have", "nats", 0.0)
    scale = "0 is best, and minus the logarithm of their number is chance"
    bounds = (-math.inf, 0.0)

    def value(self, answer: Mapping[str, Any]) -> float | None:
        """Return the log-likelihood in the answer; None if the possible answers are not known."""
        if self.name not in answer:
            return None
        value = answer[self.name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value <= 0:
            raise ValueError(
                f"`{self.name}` of question {answer['id']!r} is {value!r}; it must be a number of at most 0"
            )
        return float(value)

    def measures(self, kind: AnswerKind) -> bool:
        """Return whether the possible answers are known."""
        return bool(kind.candidates)

    def interval(
        self, values: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable]
    ) -> Interval | None:
        """Return the same as `Metric.interval`; None for one video, since there are neither a spread nor bounds."""
        return clustered_mean_of_means(values, clusters, families, *self.bounds) if len(set(clusters)) > 1 else None


class TokenF1(Metric):
    """Harmonic mean of precision and recall of a reply's words (SQuAD: Rajpurkar et al., EMNLP 2016, section 6.1).

    For free answers of several words, for which exact match is too strict. Words are compared in lower case, without
    punctuation and articles, and with number words up to twenty as digits. A reply that is not an answer has 0.
    """

    name = benchmark = "token_f1"
    title = "token F1"
    unit = Unit(100, 1, "%", "Mean F1 of the words of reply and reference", "percentage points", 2.0)

    _words = Normalisation()

    def value(self, answer: Mapping[str, Any]) -> float:
        """Return the F1 of the words of reply and reference, 0 to 1."""
        if not answer["answered"]:
            return 0.0
        reply, reference = (Counter(self._words(answer[text]).split()) for text in ("prediction", "reference"))
        if not reply or not reference:
            return float(reply == reference)
        return 2 * (reply & reference).total() / (reply.total() + reference.total())


MEAN = f"{ExactMatch.name}/mean"


def is_headline(figure: str) -> bool:
    """Return whether a figure, named as in `FamilyScores.figures`, is a main result."""
    return figure == MEAN or figure.startswith(f"{ExactMatch.benchmark}/")


def with_usual(further: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return exact match, log-likelihood and further metrics.

    Raises:
        ValueError: two of them have the same name.
    """
    metrics = (ExactMatch(), LogLikelihood(), *further)
    names = [metric.name for metric in metrics]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"model.metrics names {', '.join(twice)} twice; each metric may be named once, and"
            f" {ExactMatch.name} and {LogLikelihood.name} are always computed"
        )
    return metrics


def built_metrics(settings: Sequence[Any], key: str) -> list[Metric]:
    """Return the metrics of a `model.metrics`, for programs that build no model.

    Args:
        settings: class names, or mappings with `class_path` and `init_args`.
        key: YAML key of the settings, for error messages.

    Raises:
        ValueError: a setting is not a metric, or has wrong arguments.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--metrics", type=list[Metric])
    try:
        metrics: list[Metric] = parser.instantiate_classes(parser.parse_object({"metrics": [*settings]})).metrics
    except ArgumentError as error:
        names = ", ".join(kind.__name__ for kind in Metric.__subclasses__())
        reason = " ".join(str(error).split())
        raise ValueError(f"{key} must name metrics ({names}, or others by their import path): {reason}") from None
    return metrics

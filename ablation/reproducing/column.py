"""What a table has of each row: figures of a benchmark, or costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ablation.reproducing.known_benchmark import KnownBenchmark
from ablation.reproducing.measure import Accuracy, JudgedAccuracy, Measure, Score


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: in the table's file.
        title: as it is shown.
    """

    key: str
    title: str


@dataclass(frozen=True)
class Cost(Column):
    """What the vision part costs, by the names of `video-panda profile`."""


@dataclass(frozen=True)
class Asked(Column, ABC):
    """Figures of a benchmark.

    Attributes:
        benchmark: whose questions are asked.
    """

    benchmark: KnownBenchmark

    @property
    @abstractmethod
    def measures(self) -> tuple[Measure, ...]:
        """How answers are measured, in the order of the paper's numbers; the first is what differences are of."""


class OpenAnswers(Asked):
    """Accuracy and score of answers to open questions, by a judge."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Accuracy and score."""
        return JudgedAccuracy(), Score()


class Choices(Asked):
    """Accuracy of choices, which need no judge."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Accuracy alone."""
        return (Accuracy(),)


class AspectScore(Asked):
    """Score of one aspect of longer answers, by a judge; the key is the aspect."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Score alone."""
        return (Score(self.key),)

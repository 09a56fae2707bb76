"""Columns of the paper's tables: figures of a benchmark, or costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from ablation.reproducing.measure import Accuracy, JudgedAccuracy, Measure, Score
from lightning_modules.config.chain import read_config

BENCHMARKS = Path("configs/benchmarks")


@dataclass(frozen=True)
class BenchmarkInfo:
    """The description of a benchmark in `configs/benchmarks`, without its questions.

    Attributes:
        file: config file of the benchmark.
        name: name of the benchmark, the first part of its questions' families.
        questions: number of questions.
        judge: model that judged the paper's answers; None for multiple choice, which needs no judge.
    """

    file: Path
    name: str
    questions: int
    judge: str | None


def read_benchmark(stem: str) -> BenchmarkInfo:
    """Read the description of a benchmark from `configs/benchmarks/<stem>.yaml`.

    Raises:
        ValueError: there is no such file.
    """
    file = BENCHMARKS / f"{stem}.yaml"
    if not file.is_file():
        raise ValueError(f"{file} does not exist here; give the command in the folder of the repository")
    (description,) = read_config(file)["data"]["init_args"]["benchmarks+"]
    return BenchmarkInfo(file, description["name"], description["question_count"], description["paper"].get("judge"))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: name of the column in the table's file.
        title: displayed name.
    """

    key: str
    title: str


@dataclass(frozen=True)
class Cost(Column):
    """A cost of the vision part, with its name in `video-panda profile`."""


@dataclass(frozen=True)
class BenchmarkColumn(Column, ABC):
    """Figures of a benchmark.

    Attributes:
        benchmark: benchmark of the figures.
    """

    benchmark: BenchmarkInfo

    @property
    @abstractmethod
    def measures(self) -> tuple[Measure, ...]:
        """Measures in the order of the paper's numbers; differences are in the first."""


class OpenAnswers(BenchmarkColumn):
    """Accuracy and score of answers to open questions, by a judge."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Accuracy and score."""
        return JudgedAccuracy(), Score()


class Choices(BenchmarkColumn):
    """Accuracy of multiple-choice answers, which need no judge."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Accuracy only."""
        return (Accuracy(),)


class AspectScore(BenchmarkColumn):
    """Score of one aspect of longer answers, by a judge; the key is the aspect."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Score only."""
        return (Score(self.key),)

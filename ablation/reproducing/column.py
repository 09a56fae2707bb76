"""Columns of the paper's tables: costs, or measures of the answers to a benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablation.comparing.answer_rows import Question
from ablation.comparing.run import Run
from ablation.judging.judge import BEST_SCORE, POINTS
from ablation.judging.judgements import JudgedAnswer, Key
from datamodules.answer_kind import Aspect
from lightning_modules.config.chain import read_config
from lightning_modules.config.packaged import found
from lightning_modules.scoring.interval import Interval
from lightning_modules.scoring.metrics import PERCENT, Unit

Judgements = Mapping[Key, JudgedAnswer]
# Type of the Video-ChatGPT benchmark's questions that an aspect is judged on.
_TYPES: Mapping[str | None, str] = {
    Aspect.CORRECTNESS: "generic",
    Aspect.DETAIL: "generic",
    Aspect.CONTEXT: "generic",
    Aspect.TEMPORAL: "temporal",
    Aspect.CONSISTENCY: "consistency",
}


class Measure(ABC):
    """A figure of answers.

    Attributes:
        name: name with its unit.
        unit: unit in the paper.
        paper_digits: number of decimals in the paper.
        tolerance: difference between the paper's number and ours that is not meaningful, in the paper's unit.
        full: marks of the best answer to a question.
    """

    name: str
    unit: Unit
    paper_digits: int = 1
    tolerance: float
    full: int = 1

    @abstractmethod
    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return the marks of every answer, without unjudged ones.

        Args:
            run: run with the answers to one benchmark.
            judgements: judgements of the answers; empty if the measure needs no judge.
        """

    def agrees(self, paper: float, ours: Interval) -> bool:
        """Whether the paper's number lies within our interval, or within the tolerance of our value."""
        share, near = paper / self.unit.best, self.tolerance / self.unit.best
        return ours.low <= share <= ours.high or abs(share - ours.value) <= near + 1e-9


class Accuracy(Measure):
    """Share of right answers according to the test's own comparison, in percent."""

    name, unit, tolerance = "accuracy, %", PERCENT, 1.0

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return 1 for right answers and 0 for others."""
        return dict(run.marks)


class JudgedAccuracy(Accuracy):
    """Share of right answers among judged ones, in percent."""

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return 1 for answers that the judge calls right and 0 for others."""
        return {
            question: int(judged.right)
            for question in run.marks
            if (judged := judgements.get((question.id, None))) and judged.right is not None
        }


class Score(Measure):
    """Mean score of a judge, 0 to 5; marks are hundredths."""

    name, unit, tolerance = f"score, {POINTS.sign}", POINTS, 0.1
    full = 100 * BEST_SCORE

    def __init__(self, aspect: str | None = None) -> None:
        """Set the aspect of the Video-ChatGPT benchmark; None for the score that accompanies right or wrong."""
        self.aspect = aspect
        self.paper_digits = 2 if aspect else 1

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return the scores of scored answers, in hundredths."""
        question_type = _TYPES.get(self.aspect, "")
        return {
            question: round(100 * judged.score)
            for question in run.marks
            if question.family.rpartition("/")[2].startswith(question_type)
            and (judged := judgements.get((question.id, self.aspect)))
            and judged.score is not None
        }


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
    file = found(BENCHMARKS / f"{stem}.yaml")
    if not file.is_file():
        raise ValueError(f"{file} does not exist")
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

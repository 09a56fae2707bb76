"""What a table has of each row: figures of a benchmark, or costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from ablation.reproducing.measure import Accuracy, JudgedAccuracy, Measure, Score
from lightning_modules.config.chain import read_config

BENCHMARKS = Path("configs/benchmarks")


@dataclass(frozen=True)
class KnownBenchmark:
    """What a file of `configs/benchmarks` says of its benchmark, without its questions.

    Attributes:
        file: file that describes it.
        name: name that its questions are counted under.
        questions: how many it has.
        judge: model that judged the paper's answers; None where answers are choices, which need none.
    """

    file: Path
    name: str
    questions: int
    judge: str | None


def known_benchmark(stem: str) -> KnownBenchmark:
    """Return the benchmark that `configs/benchmarks/<stem>.yaml` describes.

    Raises:
        ValueError: there is no such file here.
    """
    file = BENCHMARKS / f"{stem}.yaml"
    if not file.is_file():
        raise ValueError(f"{file} does not exist here; give the command in the folder of the repository")
    (described,) = read_config(file)["data"]["init_args"]["benchmarks+"]
    return KnownBenchmark(file, described["name"], described["question_count"], described["paper"].get("judge"))


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: name of the column in the table's file.
        title: name as it is shown.
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
        benchmark: benchmark whose questions are asked.
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

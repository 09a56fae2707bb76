"""How the answers of a run to a benchmark are measured: question by question, as parts of the best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from ablation.comparing.answer_rows import Question
from ablation.comparing.run import Run
from ablation.judging.judge import BEST_SCORE, POINTS
from ablation.judging.judgements import JudgedAnswer, Key
from datamodules.answer_kind import Aspect
from lightning_modules.scoring.interval import Interval
from lightning_modules.scoring.unit import PERCENT, Unit

Judgements = Mapping[Key, JudgedAnswer]
# Which questions of the Video-ChatGPT benchmark an aspect is judged of, by their type.
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
        name: with its unit.
        unit: the paper's.
        paper_digits: that the paper has behind the point.
        tolerance: how far the paper's number may be from ours without a meaning, in the paper's unit.
        full: parts that the best answer to a question is worth.
    """

    name: str
    unit: Unit
    paper_digits: int = 1
    tolerance: float
    full: int = 1

    @abstractmethod
    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return what each answer is worth, in parts; without those that nobody has judged.

        Args:
            run: run with the answers to one benchmark.
            judgements: what a judge said of them; none where no judge is asked.
        """

    def agrees(self, paper: float, ours: Interval) -> bool:
        """Whether the paper's number lies within our interval, or so near to our value that it says nothing."""
        share, near = paper / self.unit.best, self.tolerance / self.unit.best
        return ours.low <= share <= ours.high or abs(share - ours.value) <= near + 1e-9


class Accuracy(Measure):
    """Share of right answers, by the comparison of the test itself; in percent."""

    name, unit, tolerance = "accuracy, %", PERCENT, 1.0

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return 1 for a right answer and 0 for another."""
        return dict(run.marks)


class JudgedAccuracy(Accuracy):
    """Share of right ones among judged answers."""

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return 1 for an answer that the judge calls right and 0 for another."""
        return {
            question: int(judged.right)
            for question in run.marks
            if (judged := judgements.get((question.id, None))) and judged.right is not None
        }


class Score(Measure):
    """Mean score of a judge, 0 to 5, kept in hundredths."""

    name, unit, tolerance = f"score, {POINTS.sign}", POINTS, 0.1
    full = 100 * BEST_SCORE

    def __init__(self, aspect: str | None = None) -> None:
        """Take an aspect of the Video-ChatGPT benchmark; None: the score beside right or wrong."""
        self.aspect = aspect
        self.paper_digits = 2 if aspect else 1

    def marks(self, run: Run, judgements: Judgements) -> dict[Question, int]:
        """Return the score of each answer that has one, in hundredths."""
        begins = _TYPES.get(self.aspect, "")
        return {
            question: round(100 * judged.score)
            for question in run.marks
            if question.family.rpartition("/")[2].startswith(begins)
            and (judged := judgements.get((question.id, self.aspect)))
            and judged.score is not None
        }

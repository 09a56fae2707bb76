"""Generated answers, and their mean scores per question family and per benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.batch import SampleFacts
from lightning_modules.scoring.answer_store import Row
from lightning_modules.scoring.metrics import LogLikelihood, Metric


@dataclass
class Answer:
    """A generated answer and its reference.

    Attributes:
        sample: the question, with its reference.
        prediction: generated answer.
        log_likelihood: natural logarithm of the probability of the reference among all possible answers of the
            question; None if these are not known.
    """

    sample: SampleFacts
    prediction: str
    log_likelihood: float | None = None

    @cached_property
    def verdict(self) -> bool | None:
        """Whether the prediction is right by the rules of its kind of answer; None if it is not an answer at all."""
        return self.sample.answer_kind.verdict(self.prediction, self.sample.answer)

    @property
    def right(self) -> bool:
        """Whether the prediction is right; a reply that is not an answer is wrong."""
        return self.verdict is True

    @property
    def row(self) -> Row:
        """The answer as it is on disk, and as metrics read it."""
        likelihood = {} if self.log_likelihood is None else {LogLikelihood.name: self.log_likelihood}
        aspects = [str(aspect) for aspect in self.sample.answer_kind.aspects]
        return {
            "id": self.sample.id,
            "video": self.sample.video,
            "family": self.sample.family,
            "question": self.sample.question,
            "reference": self.sample.answer,
            "prediction": self.prediction,
            "answered": self.verdict is not None,
            "right": self.right,
            **likelihood,
            **({"aspects": aspects} if aspects else {}),
        }


class FamilyScores:
    """Sums of the scores of each family's answers, on this process.

    Attributes:
        families: names of the families.
        metrics: metrics of the answers.
        counts: a row per family: number of replies that are answers; then, for each metric, the sum of its values and
            their number.
    """

    def __init__(self, families: Sequence[str], metrics: Sequence[Metric]) -> None:
        """Start at zero for every family, so that all processes have tensors of the same shape."""
        self.families = list(families)
        self.metrics = metrics
        self.counts = torch.zeros(len(self.families), 1 + 2 * len(metrics), dtype=torch.float64)

    def add(self, answer: Row) -> None:
        """Add one answer, in its form on disk."""
        counted = [float(answer["answered"])]
        for metric in self.metrics:
            value = metric.value(answer)
            counted += [0.0, 0.0] if value is None else [value, 1.0]
        self.counts[self.families.index(answer["family"])] += torch.tensor(counted, dtype=torch.float64)

    def figures(
        self, counts: Float[Tensor, "families columns"], questions: Mapping[str, Mapping[str, int]]
    ) -> dict[str, float]:
        """Return all figures by name, such as `exact_match/<family>` and `accuracy/<benchmark>`.

        Each metric has a mean per family. Without benchmarks, `mean` is the unweighted mean of the families; with
        benchmarks it would mix several of them, and weigh types of ten questions like types of thousands. A benchmark
        has the mean over all its questions, the mean over those answered (`..._of_answered`), and the number
        `unanswered`: those whose clip is missing or unreadable, and those whose reply is not an answer.

        Args:
            counts: `self.counts` summed over processes.
            questions: benchmark -> family -> number of all its questions.
        """
        answered = dict(zip(self.families, counts[:, 0].tolist(), strict=True))
        answers = {name: sum(answered.get(family, 0) for family in families) for name, families in questions.items()}
        numbers = {name: sum(families.values()) for name, families in questions.items()}
        figures: dict[str, float] = {}
        for metric, columns in zip(self.metrics, counts[:, 1:].split(2, dim=1), strict=True):
            sums = dict(zip(self.families, columns.tolist(), strict=True))
            means = {family: total / number for family, (total, number) in sums.items() if number > 0}
            figures |= {f"{metric.name}/{family}": mean for family, mean in means.items()}
            if means and not questions:
                figures[f"{metric.name}/mean"] = sum(means.values()) / len(means)
            for name, families in questions.items() if metric.benchmark else ():
                total = sum(sums[family][0] for family in families if family in sums)
                figures[f"{metric.benchmark}/{name}"] = total / numbers[name]
                if answers[name]:
                    figures[f"{metric.benchmark}_of_answered/{name}"] = total / answers[name]
        return figures | {f"unanswered/{name}": numbers[name] - answers[name] for name in questions}

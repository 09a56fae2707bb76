"""Scores by comparing answers with references, per question family and per benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.batch import SampleFacts
from lightning_modules.scoring import LIKELIHOOD, MEAN


@dataclass
class Answer:
    """A generated answer beside its reference.

    Attributes:
        sample: what was asked.
        prediction: the answer.
        log_likelihood: of the reference among all answers that the question may have, a natural logarithm; None where
            these are not known.
    """

    sample: SampleFacts
    prediction: str
    log_likelihood: float | None = None

    @property
    def verdict(self) -> bool | None:
        """Whether it is right, as that kind of answer is compared; None if it is no answer to the question."""
        return self.sample.answer_kind.verdict(self.prediction, self.sample.answer)

    @property
    def right(self) -> bool:
        """Whether it is right; a reply that is no answer is not."""
        return self.verdict is True


class FamilyScores:
    """Counts of right replies, all replies, and those that are answers, per family, on this process.

    Behind them come the sum of the log-likelihoods of right answers, and how many of these are known.
    """

    def __init__(self, families: Sequence[str]) -> None:
        """Start at zero for every family, so that all processes hold tensors of one shape."""
        self.families = list(families)
        self.counts = torch.zeros(len(self.families), 5, dtype=torch.float64)

    def add(self, family: str, verdict: bool | None, log_likelihood: float | None = None) -> None:
        """Count one reply; None is one that is no answer. The log-likelihood is that of the right one, if known."""
        counted = [float(verdict is True), 1.0, float(verdict is not None)]
        counted += [0.0, 0.0] if log_likelihood is None else [log_likelihood, 1.0]
        self.counts[self.families.index(family)] += torch.tensor(counted, dtype=torch.float64)

    def shares(self, counts: Float[Tensor, "families 5"]) -> dict[str, float]:
        """Return the share of right replies per family, and their plain mean under `mean`.

        Args:
            counts: as `self.counts`, summed over processes.
        """
        seen = {
            family: (right / given)
            for family, (right, given, *_) in zip(self.families, counts.tolist(), strict=True)
            if given > 0
        }
        return _with_mean(seen)

    def log_likelihoods(self, counts: Float[Tensor, "families 5"]) -> dict[str, float]:
        """Return the mean log-likelihood of right answers per family that has any, and their plain mean under `mean`.

        Args:
            counts: as `self.counts`, summed over processes.
        """
        rows = zip(self.families, counts.tolist(), strict=True)
        return _with_mean({family: total / known for family, (_, _, _, total, known) in rows if known > 0})

    def figures(
        self, counts: Float[Tensor, "families 5"], questions: Mapping[str, Mapping[str, int]]
    ) -> dict[str, float]:
        """Return all figures by name: `exact_match/<family>`, `log_likelihood/<family>`, and those of every benchmark.

        Benchmarks have no mean of their families: it would mix several of them, and weigh types of ten questions like
        types of thousands.

        Args:
            counts: as `self.counts`, summed over processes.
            questions: benchmark -> family -> number of all its questions.
        """
        found = {f"exact_match/{family}": share for family, share in self.shares(counts).items()}
        found |= {f"{LIKELIHOOD}/{family}": mean for family, mean in self.log_likelihoods(counts).items()}
        if questions:
            found = {name: figure for name, figure in found.items() if name not in (MEAN, f"{LIKELIHOOD}/mean")}
        return found | self.accuracies(counts, questions)

    def accuracies(
        self, counts: Float[Tensor, "families 5"], questions: Mapping[str, Mapping[str, int]]
    ) -> dict[str, float]:
        """Return the figures of every benchmark: `accuracy`, `accuracy_of_answered` and `unanswered`, by `/<name>`.

        Not answered are questions that were not asked, since their clip is missing or cannot be read, and those whose
        reply is no answer.

        Args:
            counts: as `self.counts`, summed over processes.
            questions: benchmark -> family -> number of all its questions.
        """
        rows = dict(zip(self.families, counts.tolist(), strict=True))
        figures: dict[str, float] = {}
        for name, families in questions.items():
            there = [rows[family] for family in families if family in rows]
            right, answered = (sum(row[column] for row in there) for column in (0, 2))
            figures[f"accuracy/{name}"] = right / sum(families.values())
            figures[f"unanswered/{name}"] = sum(families.values()) - answered
            if answered:
                figures[f"accuracy_of_answered/{name}"] = right / answered
        return figures


def _with_mean(seen: dict[str, float]) -> dict[str, float]:
    return {**seen, "mean": sum(seen.values()) / len(seen)} if seen else {}

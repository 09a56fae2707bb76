"""Scores by comparing answers with references, per question family and per benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.batch import SampleFacts
from datamodules.records.answer_kind import matches

__all__ = ["Answer", "FamilyScores", "is_headline", "matches"]

MEAN = "exact_match/mean"


@dataclass
class Answer:
    """A generated answer beside its reference."""

    sample: SampleFacts
    prediction: str

    @property
    def verdict(self) -> bool | None:
        """Whether it is right, as that kind of answer is compared; None if it is no answer to the question."""
        return self.sample.answer_kind.verdict(self.prediction, self.sample.answer)

    @property
    def right(self) -> bool:
        """Whether it is right; a reply that is no answer is not."""
        return self.verdict is True


def is_headline(figure: str) -> bool:
    """Whether a figure, by its name in `FamilyScores.figures`, is what is looked at first."""
    return figure == MEAN or figure.startswith("accuracy/")


class FamilyScores:
    """Counts of right replies, all replies, and those that are answers, per family, on this process."""

    def __init__(self, families: Sequence[str]) -> None:
        """Start at zero for every family, so that all processes hold tensors of one shape."""
        self.families = list(families)
        self.counts = torch.zeros(len(self.families), 3, dtype=torch.float64)

    def add(self, family: str, verdict: bool | None) -> None:
        """Count one reply; None is one that is no answer."""
        counted = [float(verdict is True), 1.0, float(verdict is not None)]
        self.counts[self.families.index(family)] += torch.tensor(counted, dtype=torch.float64)

    def shares(self, counts: Float[Tensor, "families 3"]) -> dict[str, float]:
        """Return the share of right replies per family, and their plain mean under `mean`.

        Args:
            counts: as `self.counts`, summed over processes.
        """
        seen = {
            family: (right / given)
            for family, (right, given, _) in zip(self.families, counts.tolist(), strict=True)
            if given > 0
        }
        return {**seen, "mean": sum(seen.values()) / len(seen)} if seen else {}

    def figures(
        self, counts: Float[Tensor, "families 3"], questions: Mapping[str, Mapping[str, int]]
    ) -> dict[str, float]:
        """Return all figures by name: `exact_match/<family>` as `shares`, and those of every benchmark.

        Benchmarks have no mean of their families: it would mix several of them, and weigh types of ten questions like
        types of thousands.

        Args:
            counts: as `self.counts`, summed over processes.
            questions: benchmark -> family -> number of all its questions.
        """
        shares = {f"exact_match/{family}": share for family, share in self.shares(counts).items()}
        if questions:
            shares.pop(MEAN, None)
        return shares | self.accuracies(counts, questions)

    def accuracies(
        self, counts: Float[Tensor, "families 3"], questions: Mapping[str, Mapping[str, int]]
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

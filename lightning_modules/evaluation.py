"""Scores by comparing answers: exact match after a visible normalisation, per question family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.batch import SampleFacts


def normalized(answer: str) -> str:
    """Return `answer` in lower case, without punctuation and surplus space: the form in which answers are compared."""
    return " ".join(re.sub(r"[^\w\s]", " ", answer.lower()).split())


def matches(prediction: str, reference: str) -> bool:
    """Return whether the two answers are the same after normalisation."""
    return normalized(prediction) == normalized(reference)


@dataclass
class Answer:
    """A generated answer beside its reference."""

    sample: SampleFacts
    prediction: str

    @property
    def right(self) -> bool:
        """Whether it is the reference after normalisation."""
        return matches(self.prediction, self.sample.answer)


class FamilyScores:
    """Counts of right and given answers per family, on this process."""

    def __init__(self, families: Sequence[str]) -> None:
        """Start at zero for every family, so that all processes hold tensors of one shape."""
        self.families = list(families)
        self.counts = torch.zeros(len(self.families), 2, dtype=torch.float64)

    def add(self, family: str, right: bool) -> None:
        """Count one answer."""
        self.counts[self.families.index(family)] += torch.tensor([float(right), 1.0], dtype=torch.float64)

    def shares(self, counts: Float[Tensor, "families 2"]) -> dict[str, float]:
        """Return the share of right answers per family, and their plain mean under `mean`.

        Args:
            counts: right and given answers per family, summed over processes.
        """
        seen = {
            family: (right / given)
            for family, (right, given) in zip(self.families, counts.tolist(), strict=True)
            if given > 0
        }
        return {**seen, "mean": sum(seen.values()) / len(seen)} if seen else {}

"""Answers of an experiment's seeds to the same questions, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Answers:
    """Answers of an experiment's seeds to the same questions.

    Attributes:
        marks: marks of the answers, (seeds, questions): 1 if it is right, or its score; floats for log-likelihoods.
        videos: number of the video of each question.
        full: marks of the best answer: 1, or more if a judge gives scores or attempts are added up.
        bounds: smallest and largest possible mean; log-likelihoods have no smallest one.
    """

    marks: NDArray[np.int64] | NDArray[np.float64]
    videos: NDArray[np.intp]
    full: int = 1
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def seeds(self) -> int:
        """Number of trainings."""
        return len(self.marks)

    @property
    def widest(self) -> float:
        """Largest possible difference of two means."""
        return self.bounds[1] - self.bounds[0]

    @property
    def whole(self) -> bool:
        """Whether marks are whole numbers."""
        return not np.issubdtype(self.marks.dtype, np.floating)

    def subset(self, questions: NDArray[np.bool_]) -> Answers:
        """Return the answers to some questions, with their videos renumbered."""
        videos = np.unique(self.videos[questions], return_inverse=True)[1]
        return Answers(self.marks[:, questions], videos, self.full, self.bounds)

    # Cached, since every difference from a baseline needs them.
    @cached_property
    def sums(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Sum of marks per seed and video, (seeds, videos); integers if the marks are."""
        sums = np.stack([np.bincount(self.videos, weights=marks) for marks in self.marks])
        return sums.astype(np.int64) if self.whole else sums

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean score of each seed, as a share of the best."""
        means: NDArray[np.float64] = self.marks.mean(axis=1) / self.full
        return means

    @cached_property
    def parts(self) -> NDArray[np.float64]:
        """Contribution of each video to each seed's deviation from the mean, (seeds, videos)."""
        deviations = self.sums / self.full - self.means.mean() * np.bincount(self.videos)
        parts: NDArray[np.float64] = deviations / self.marks.shape[1]
        return parts

    @cached_property
    def chance(self) -> float:
        """Part of the variance of the mean over seeds, at least two, that is due to single answers."""
        means, sizes = self.means, np.bincount(self.videos)
        expected = np.outer(means - means.mean(), sizes / sizes.sum())
        rest = self.parts - self.parts.mean(axis=0) - expected
        videos = len(sizes)
        correction = videos / (videos - 1) if videos > 1 else 1.0
        return float(correction * (rest**2).sum() / ((self.seeds - 1) * self.seeds))

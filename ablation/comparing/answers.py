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
        marks: of each answer, (seeds, questions): 1 if it is right, or its score; floats where they are not counted.
        videos: number of the video of each question.
        full: what the best answer has: 1, more where it has a score, or where attempts are added up.
        bounds: least and largest mean there can be; log-likelihoods have no least one.
    """

    marks: NDArray[np.int64] | NDArray[np.float64]
    videos: NDArray[np.intp]
    full: int = 1
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def seeds(self) -> int:
        """How many trainings."""
        return len(self.marks)

    @property
    def widest(self) -> float:
        """Largest difference of two means there can be."""
        return self.bounds[1] - self.bounds[0]

    @property
    def whole(self) -> bool:
        """Whether marks are whole numbers."""
        return not np.issubdtype(self.marks.dtype, np.floating)

    def of(self, questions: NDArray[np.bool_]) -> Answers:
        """Return those to some questions, their videos numbered anew."""
        videos = np.unique(self.videos[questions], return_inverse=True)[1]
        return Answers(self.marks[:, questions], videos, self.full, self.bounds)

    def sums(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return the marks of each seed about each video, (seeds, videos); whole numbers of whole marks."""
        return self._sums

    def means(self) -> NDArray[np.float64]:
        """Return the share of all marks that each seed has."""
        return self._means

    def parts(self) -> NDArray[np.float64]:
        """Return what each video adds to each seed's deviation from the mean, (seeds, videos)."""
        return self._parts

    def chance(self) -> float:
        """Return what single answers add to the variance of the mean of seeds, of which there are two at least."""
        return self._chance

    # Each difference from a baseline asks these of it.
    @cached_property
    def _sums(self) -> NDArray[np.int64] | NDArray[np.float64]:
        sums = np.stack([np.bincount(self.videos, weights=each) for each in self.marks])
        return sums.astype(np.int64) if self.whole else sums

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        means: NDArray[np.float64] = self.marks.mean(axis=1) / self.full
        return means

    @cached_property
    def _parts(self) -> NDArray[np.float64]:
        deviations = self.sums() / self.full - self.means().mean() * np.bincount(self.videos)
        parts: NDArray[np.float64] = deviations / self.marks.shape[1]
        return parts

    @cached_property
    def _chance(self) -> float:
        means, sizes = self.means(), np.bincount(self.videos)
        expected = np.outer(means - means.mean(), sizes / sizes.sum())
        rest = self.parts() - self.parts().mean(axis=0) - expected
        videos = len(sizes)
        correction = videos / (videos - 1) if videos > 1 else 1.0
        return float(correction * (rest**2).sum() / ((self.seeds - 1) * self.seeds))

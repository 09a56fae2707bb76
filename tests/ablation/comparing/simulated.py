"""Answers of simulated experiments whose true difference is known, and how often `difference` is right about it.

`python -m tests.ablation.comparing.simulated` prints the table of docs/compare.md.
"""

import sys
from dataclasses import dataclass

import numpy as np

from ablation.comparing.certainty import Answers, difference

POPULATION = 200_000  # questions that a true share is worked out over


@dataclass(frozen=True)
class World:
    """How answers come about, on the logistic scale: standard deviations of normal effects.

    Attributes:
        videos: of the test.
        questions: about each.
        seeds: of either experiment.
        video: how videos differ in difficulty, for both experiments.
        own_video: how they differ for one experiment apart.
        question: how questions differ in difficulty.
        seed: how trainings of one experiment differ.
        level: of the baseline.
        effect: of the experiment.
    """

    videos: int = 250
    questions: int = 8
    seeds: tuple[int, int] = (1, 1)
    video: float = 1.0
    own_video: float = 0.5
    question: float = 1.5
    seed: float = 0.0
    level: float = 1.0
    effect: float = 0.0

    def pair(self, rng):
        """Return the answers of the experiment and of the baseline."""
        shared = rng.normal(0, self.video, (self.videos, 1)) + rng.normal(
            0, self.question, (self.videos, self.questions)
        )
        videos = np.repeat(np.arange(self.videos), self.questions)
        return tuple(
            Answers(self._right(rng, shared, effect, seeds), videos)
            for effect, seeds in zip((self.effect, 0.0), self.seeds, strict=True)
        )

    def _right(self, rng, shared, effect, seeds):
        own = rng.normal(0, self.own_video, (self.videos, 1))
        level = self.level + effect + rng.normal(0, self.seed, (seeds, 1, 1)) + own + shared
        return (rng.random(level.shape) < 1 / (1 + np.exp(-level))).reshape(seeds, -1).astype(int)

    def truth(self, rng):
        """Return the difference of the two shares over all videos and seeds there could be."""
        spread = np.sqrt(self.video**2 + self.own_video**2 + self.question**2 + self.seed**2)
        noise = rng.normal(0, spread, POPULATION)
        shares = [np.mean(1 / (1 + np.exp(-self.level - effect - noise))) for effect in (self.effect, 0.0)]
        return shares[0] - shares[1]


def rates(world, times, seed=0):
    """Return how often the interval has the true difference in it, and how often p is at most 0.05."""
    rng = np.random.default_rng(seed)
    truth = world.truth(rng) if world.effect else 0.0
    found = [difference(*world.pair(rng)) for _ in range(times)]
    covered = np.mean([each.interval.low <= truth <= each.interval.high for each in found])
    return float(covered), float(np.mean([each.p <= 0.05 for each in found]))


def main(times=4000):
    """Print coverage and rate of p <= 0.05, a line per world."""
    print("| videos x questions | seeds | between seeds | true difference | coverage | p <= 0.05 |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for videos, questions in ((250, 8), (2000, 1), (40, 8), (10, 8)):
        for seeds, deviation in (
            ((1, 1), 0.0),
            ((2, 2), 0.0),
            ((2, 2), 0.15),
            ((3, 3), 0.15),
            ((5, 5), 0.15),
            ((3, 2), 0.3),
        ):
            for effect in (0.0, 0.3):
                world = World(videos, questions, seeds, seed=deviation, effect=effect)
                covered, small = rates(world, times)
                truth = 100 * world.truth(np.random.default_rng(0)) if effect else 0.0
                print(
                    f"| {videos} x {questions} | {seeds[0]}, {seeds[1]} | {deviation} | {truth:+.1f} |"
                    f" {100 * covered:.1f} | {100 * small:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

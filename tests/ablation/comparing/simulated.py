"""Answers of simulated experiments whose true difference is known, and how often the comparison is right about it.

`python -m tests.ablation.comparing.simulated` prints the tables of docs/compare.md; it takes some minutes.
"""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ablation.comparing.answer_rows import Answered, Question
from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, score
from ablation.comparing.comparison import compare
from ablation.comparing.experiment import Experiment
from ablation.comparing.run import Run
from ablation.comparing.verdict import Word

POPULATION = 400_000  # questions that a true share is worked out over


@dataclass(frozen=True)
class World:
    """How answers come about, on the logistic scale: standard deviations of normal effects.

    Attributes:
        videos: of the test.
        questions: about each.
        seeds: of the experiment and of the baseline.
        video: how videos differ in difficulty, for all experiments.
        own_video: how they differ for one experiment apart.
        question: how questions differ in difficulty.
        seed: how trainings of one experiment differ.
        level: of the baseline.
        effect: of the experiment.
        full: marks of the best answer: 1 where it is right or not, 5 where a judge gives it a score.
    """

    videos: int = 250
    questions: int = 8
    seeds: tuple[int, ...] = (1, 1)
    video: float = 1.0
    own_video: float = 0.5
    question: float = 1.5
    seed: float = 0.0
    level: float = 1.0
    effect: float = 0.0
    full: int = 1

    def answers(self, rng):
        """Return the answers of the experiment, and of as many others as there are numbers of seeds."""
        shape = (self.videos, self.questions)
        shared = rng.normal(0, self.video, (self.videos, 1)) + rng.normal(0, self.question, shape)
        videos = np.repeat(np.arange(self.videos), self.questions)
        effects = [self.effect] + [0.0] * (len(self.seeds) - 1)
        return [
            Answers(self._marks(rng, shared, effect, seeds), videos, self.full)
            for effect, seeds in zip(effects, self.seeds, strict=True)
        ]

    def _marks(self, rng, shared, effect, seeds):
        own = rng.normal(0, self.own_video, (self.videos, 1))
        level = self.level + effect + rng.normal(0, self.seed, (seeds, 1, 1)) + own + shared
        return rng.binomial(self.full, 1 / (1 + np.exp(-level))).reshape(seeds, -1)

    def truth(self, effect):
        """Return the share of all marks over all videos and seeds there could be."""
        spread = np.sqrt(self.video**2 + self.own_video**2 + self.question**2 + self.seed**2)
        noise = np.random.default_rng(0).normal(0, spread, POPULATION)
        return float(np.mean(1 / (1 + np.exp(-self.level - effect - noise))))

    def gap(self):
        """Return the true difference."""
        return self.truth(self.effect) - self.truth(0.0) if self.effect else 0.0

    def points_between_seeds(self):
        """Return by how many percentage points trainings differ: the standard deviation of their true shares."""
        alone = replace(self, seed=0.0)
        shifts = np.random.default_rng(0).normal(0, self.seed, 50)
        return 100 * float(np.std([alone.truth(shift) for shift in shifts])) if self.seed else 0.0


@dataclass(frozen=True)
class LikelihoodWorld(World):
    """How log-likelihoods of right answers come about: the same effects, and a noise of each answer's own."""

    noise: float = 1.0

    def answers(self, rng):
        """Return as `World`, in nats."""
        return [replace(answer, bounds=(-math.inf, 0.0)) for answer in super().answers(rng)]

    def _marks(self, rng, shared, effect, seeds):
        own = rng.normal(0, self.own_video, (self.videos, 1))
        noise = rng.normal(0, self.noise, (seeds, *shared.shape))
        level = self.level + effect + rng.normal(0, self.seed, (seeds, 1, 1)) + own + shared + noise
        return -np.log1p(np.exp(-level)).reshape(seeds, -1)

    def truth(self, effect):
        """Return the mean over all videos and seeds there could be."""
        spread = np.sqrt(self.video**2 + self.own_video**2 + self.question**2 + self.seed**2 + self.noise**2)
        noise = np.random.default_rng(0).normal(0, spread, POPULATION)
        return float(np.mean(-np.log1p(np.exp(-self.level - effect - noise))))


def rates(world, times, seed=0):
    """Return how often the interval of the difference has the truth in it, and how often p is at most 0.05."""
    rng = np.random.default_rng(seed)
    truth = world.gap()
    results = [difference(*world.answers(rng)) for _ in range(times)]
    covered = np.mean([result.interval.low <= truth <= result.interval.high for result in results])
    return float(covered), float(np.mean([result.p <= 0.05 for result in results]))


def score_coverage(world, times, seed=0):
    """Return how often the interval of the baseline's score has its true share in it."""
    rng = np.random.default_rng(seed)
    truth = world.truth(0.0)
    results = [score(world.answers(rng)[-1]).interval for _ in range(times)]
    return float(np.mean([result.low <= truth <= result.high for result in results]))


def tables_with_a_verdict(world, times, seed=0):
    """Return the share of whole tables, a family per question of a video, that call something better or worse."""
    rng = np.random.default_rng(seed)
    questions = [
        Question(f"{video}/{family}", f"{video}", "", "", f"family {family}")
        for video in range(world.videos)
        for family in range(world.questions)
    ]
    clear = {Word.BETTER, Word.WORSE}
    count = 0
    for _ in range(times):
        results = [_experiment(f"e{place}", questions, answer) for place, answer in enumerate(world.answers(rng))]
        comparison = compare(results, results[-1], None, although_different=False)
        count += any(
            cell.verdict and cell.verdict.word in clear for row in comparison.rows for cell in row.cells.values()
        )
    return count / times


def _experiment(name, questions, answers):
    rows = [dict(zip(questions, row.tolist(), strict=True)) for row in answers.marks]
    runs = [
        Run(Path(f"{name}/seed_{seed}"), name, seed, 1, {}, {}, Answered(row), {}, ()) for seed, row in enumerate(rows)
    ]
    return Experiment(name, {run.seed: [run] for run in runs})


def main(times=4000):
    """Print coverage and false positives, a line per world."""
    print("| videos x questions | seeds | sd between seeds, points | coverage, no effect | p <= 0.05, no effect |"
          " true difference, points | coverage | p <= 0.05 | coverage of the score |")  # fmt: skip
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    answers = [
        World(videos, questions, seeds, seed=deviation)
        for videos, questions in ((250, 8), (2000, 1), (30, 8), (10, 8))
        for seeds, deviation in (
            ((1, 1), 0.0),
            ((2, 2), 0.0),
            ((2, 2), 0.15),
            ((3, 3), 0.15),
            ((5, 5), 0.15),
            ((2, 3), 0.3),
        )
    ]
    scores = [
        World(videos, questions, seeds, seed=deviation, full=5)
        for videos, questions in ((250, 8), (500, 1), (30, 8))
        for seeds, deviation in (((1, 1), 0.0), ((3, 3), 0.15))
    ]
    for world in (*answers, *scores):
        better = replace(world, effect=0.3)
        figures = [*rates(world, times), better.gap(), *rates(better, times), score_coverage(world, times)]
        of = "" if world.full == 1 else f", scores of 0 to {world.full}"
        cells = [f"{world.videos} x {world.questions}{of}", f"{world.seeds[0]}, {world.seeds[1]}"]
        cells += [f"{points:.1f}" for points in (world.points_between_seeds(), *(100 * figure for figure in figures))]
        print("| " + " | ".join(cells) + " |", flush=True)
    print("\nlog-likelihoods: the same, and the true difference in nats\n")
    for shape in ((250, 8, (1, 1)), (250, 8, (3, 3)), (250, 8, (5, 5)), (250, 8, (2, 3)), (30, 8, (3, 3))):
        world = LikelihoodWorld(*shape, seed=0.3 * (shape[2] != (1, 1)))
        better = replace(world, effect=0.3)
        shares = [*rates(world, times), *rates(better, times), score_coverage(world, times)]
        cells = [f"{world.videos} x {world.questions}", f"{world.seeds[0]}, {world.seeds[1]}", f"{world.seed}"]
        cells += [*(f"{100 * share:.1f}" for share in shares), f"{better.gap():.3f}"]
        print("| " + " | ".join(cells) + " |", flush=True)
    lone = World(seed=0.15)
    print(f"\none seed each where trainings differ by {lone.points_between_seeds():.1f} points:"
          f" p <= 0.05 in {100 * rates(lone, times)[1]:.1f} %")  # fmt: skip
    for seeds, deviation in ((1, 0.0), (3, 0.15)):
        world = World(seeds=(seeds,) * 7, seed=deviation)
        share = tables_with_a_verdict(world, times // 10)
        print(f"tables of 6 experiments and 9 scores, {seeds} seeds each, without any effect: {100 * share:.1f} % call"
              " something better or worse")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

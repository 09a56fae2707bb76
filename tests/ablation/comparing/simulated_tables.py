"""Whole tables whose truth is known, with variances between seeds of each row alone and moderated over the table.

Run as a program, it prints the second table of docs/compare.md: `python -m tests.ablation.comparing.simulated_tables`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, holm, score
from ablation.comparing.moderation import ALONE, seed_prior

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
VIDEO, OWN_VIDEO, QUESTION = 1.0, 0.5, 1.5  # standard deviations on the logistic scale, as in `simulated`
CHANCE = -1.2  # level of a family that is not learnt: about 30 %


@dataclass(frozen=True)
class TableWorld:
    """A table, its baseline first, of families with one question about each video.

    Attributes:
        name: of the world.
        rows: how many.
        seeds: of each.
        level: of the baseline, on the logistic scale.
        effects: of the other rows, in turn.
        seed: how trainings differ in all families, and twice that in each by itself.
        fold: how many times larger the variance of the row that differs most is than of that which differs least.
        wide: which row differs by that many times while all others differ least; None: variances go up evenly.
        jumps: how many families are learnt in some trainings only.
        learnt: how often these are, of the rows in turn.
    """

    name: str
    rows: int = 7
    seeds: int = 3
    level: float = 1.0
    effects: tuple[float, ...] = (0.0,)
    seed: float = 0.15
    fold: float = 1.0
    wide: int | None = None
    jumps: int = 0
    learnt: tuple[float, ...] = (0.5,)
    videos: int = 200
    families: int = 8

    def deviations(self):
        """Return the standard deviation of the seeds of each row; large and small ones in turn."""
        evenly = (np.arange(self.rows) * 3 % self.rows).argsort(kind="stable") / (self.rows - 1)
        place = evenly if self.wide is None else np.arange(self.rows) == self.wide
        return self.seed * np.sqrt(self.fold) ** place

    def levels(self):
        """Return the level of each row, at which rows of the same effect have the same share, however seeds differ."""
        wanted = [
            _share(self.level + effect, self._spreads()[0]) for effect in (0.0, *np.resize(self.effects, self.rows - 1))
        ]
        return np.array([
            brentq(lambda level, share, spread: _share(level, spread) - share, -20, 20, args=pair)
            for pair in zip(wanted, self._spreads(), strict=True)
        ])  # fmt: skip

    def truth(self):
        """Return the true share of each row and family, (rows, families)."""
        chances = np.resize(self.learnt, self.rows)
        usual, chance = (
            np.array([_share(level, spread) for level, spread in zip(levels, self._spreads(), strict=True)])
            for levels in (self.levels(), np.full(self.rows, CHANCE))
        )
        jumping = chances * usual + (1 - chances) * chance
        return np.stack([jumping if family < self.jumps else usual for family in range(self.families)], axis=1)

    def _spreads(self):
        return np.sqrt(VIDEO**2 + OWN_VIDEO**2 + QUESTION**2 + 5 * self.deviations() ** 2)

    def table(self, rng):
        """Return the answers of each row, the questions of the first family first."""
        shape = self.videos, self.families
        shared = rng.normal(0, VIDEO, (self.videos, 1)) + rng.normal(0, QUESTION, shape)
        videos = np.tile(np.arange(self.videos), self.families)
        return [
            Answers(self._marks(rng, shared, *row), videos)
            for row in zip(self.levels(), self.deviations(), np.resize(self.learnt, self.rows), strict=True)
        ]

    def _marks(self, rng, shared, level, deviation, learnt):
        seeds, families = self.seeds, self.families
        levels = np.full((seeds, families), level)
        levels[:, : self.jumps] = np.where(rng.random((seeds, self.jumps)) < learnt, level, CHANCE)
        levels += rng.normal(0, deviation, (seeds, 1)) + rng.normal(0, 2 * deviation, (seeds, families))
        logits = levels[:, None] + shared + rng.normal(0, OWN_VIDEO, (self.videos, 1))
        right = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
        return right.transpose(0, 2, 1).reshape(seeds, -1).astype(int)


def _share(level, spread):
    """Return the mean share of right answers at a level, over normal effects of this standard deviation."""
    return float(WEIGHTS @ (1 / (1 + np.exp(-level - spread * NODES))) / WEIGHTS.sum())


METHODS = {"alone": lambda rows: ALONE, "moderated": seed_prior}  # what rows share of seeds


def rates(world, times, methods=METHODS, seed=0):
    """Return, of each method, what came about in the same tables, one value per case: true or false.

    - covered: the interval of the overall difference has the truth in it, (tables, rows);
    - covered families: the same of families; covered score: of overall scores;
    - false, false families: p is at most 0.05 where there is no effect;
    - false table: something is significant in a table there;
    - seen, significant: p of an overall effect is at most 0.05, by itself and corrected as in `compare`.
    """
    rng = np.random.default_rng(seed)
    truth, shares_of = world.truth(), {name: defaultdict(list) for name in methods}
    family = np.repeat(np.arange(world.families), world.videos)
    masks = [np.ones(family.shape, dtype=bool), *(family == number for number in range(world.families))]
    truths = [truth.mean(axis=1), *truth.T]
    for _ in range(times):
        rows = world.table(rng)
        tables = [[row.subset(mask) for row in rows] for mask in masks]
        for name, priors in methods.items():
            _judge(shares_of[name], tables, truths, priors)
    return shares_of


def _judge(shares_of, tables, truths, priors):
    tests, without = [], []
    for place, ((base, *others), true) in enumerate(zip(tables, truths, strict=True)):
        prior = priors([base, *others])
        gaps = [difference(other, base, prior) for other in others]
        effects = true[1:] - true[0]
        covered = [_holds(gap, effect) for gap, effect in zip(gaps, effects, strict=True)]
        none, small = np.abs(effects) < 1e-9, np.array([gap.p <= 0.05 for gap in gaps])
        if place:
            shares_of["covered families"] += covered
            shares_of["false families"] += small[none].tolist()
        else:
            bounds = [score(row, prior) for row in (base, *others)]
            shares_of["covered"].append(covered)
            shares_of["covered score"] += [
                _holds(interval, share) for interval, share in zip(bounds, true, strict=True)
            ]
            shares_of["false"] += small[none].tolist()
            shares_of["seen"] += small[~none].tolist()
        tests += [(gap.p, 0.5 / len(gaps) / (len(tables) - 1 if place else 1)) for gap in gaps]
        without += none.tolist()
    significant, none = np.array(holm(*zip(*tests, strict=True))) <= 0.05, np.array(without)
    overall = np.arange(len(significant)) < len(tables[0]) - 1
    shares_of["false table"].append(bool((significant & none).any()))
    shares_of["significant"] += significant[overall & ~none].tolist()


def _holds(estimate, truth):
    return bool(estimate.interval.low <= truth <= estimate.interval.high)


SOME = (0.0, 0.3)  # every second row is better
_TEN = {"effects": SOME, "seed": 0.08, "fold": 10}
WORLDS = [
    TableWorld("equal variances", effects=SOME),
    TableWorld("equal variances", effects=SOME, seeds=2),
    TableWorld("equal variances", effects=SOME, seeds=5),
    TableWorld("equal variances", effects=SOME, rows=2),
    TableWorld("equal variances", effects=SOME, rows=3),
    TableWorld("equal variances", effects=SOME, rows=12),
    TableWorld("variances up to tenfold", **_TEN),
    TableWorld("variances up to tenfold", seeds=5, **_TEN),
    TableWorld("variances up to tenfold", rows=3, **_TEN),
    TableWorld("variances up to tenfold", rows=12, **_TEN),
    TableWorld("full alone varies tenfold", wide=0, **_TEN),
    TableWorld("one row alone varies tenfold", wide=1, **_TEN),
    TableWorld("one family learnt in half of the seeds", level=3.0, jumps=1),
    TableWorld("one family learnt in half of the seeds", level=3.0, effects=(0.0, -0.6), jumps=1, seeds=5),
    TableWorld("two families learnt in 80 %", level=3.0, effects=(0.0, -0.6), jumps=2, learnt=(0.8,)),
    TableWorld("two learnt in 0 to 100 %, by row", level=3.0, jumps=2, learnt=(0.5, 1.0, 0.5, 0.0, 0.8, 0.5, 0.2)),
    TableWorld("four families learnt in 70 %", level=3.0, jumps=4, learnt=(0.7,)),
    TableWorld("all near the ceiling", level=5.0),
    TableWorld("full near the ceiling, rows at 60 and 90 %", level=5.0, effects=(-4.3, -2.0)),
    TableWorld("equal variances, twice the effect", effects=(0.0, 0.7)),
    TableWorld("equal variances, twice the effect", effects=(0.0, 0.7), seeds=5),
]


def main(times=1000, first=0, step=1):
    """Print a line per world and method, of each world or of each `step`-th from the `first` on."""
    print("| world | rows x seeds | overall share of full, % | variances | coverage, overall | of the worst row |"
          " families | of a score | p <= 0.05, no effect, overall | families | tables with a false verdict"
          " | effect seen, p <= 0.05 | corrected |")  # fmt: skip
    print("| --- | --- | ---: | --- |" + " ---: |" * 9)
    for world in WORLDS[first::step]:
        for name, shares_of in rates(world, times).items():
            covered = np.array(shares_of["covered"])
            shares = [covered, covered.mean(axis=0).min(), *(shares_of[kind] for kind in (
                "covered families", "covered score", "false", "false families", "false table", "seen", "significant"
            ))]  # fmt: skip
            cells = [world.name, f"{world.rows} x {world.seeds}", f"{100 * world.truth()[0].mean():.0f}", name]
            cells += [f"{100 * np.mean(share):.1f}" if np.size(share) else "" for share in shares]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

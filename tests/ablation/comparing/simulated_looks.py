"""Whole tables whose truth is known, given seeds until they are decided, beside tables of as many seeds at once.

Run as a program, it prints the table of docs/compare.md: `python -m tests.ablation.comparing.simulated_looks`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

import numpy as np

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, holm
from ablation.comparing.moderation import seed_prior
from ablation.comparing.sequential import FIRST, LEAD, ONCE, Looks
from ablation.comparing.verdict import Word, verdict
from tests.ablation.comparing.simulated_tables import TableWorld

SMALLEST = 0.02
FOUND = {Word.BETTER, Word.WORSE}


@dataclass
class Result:
    """What came about in tables.

    Attributes:
        words: of each row's overall score, (tables, rows).
        seeds: of each row at its last look, the baseline first, (tables, 1 + rows).
        false: whether anything without an effect was called better or worse, of each table.
    """

    words: list = field(default_factory=list)
    seeds: list = field(default_factory=list)
    false: list = field(default_factory=list)


def decide(rows, masks, effects, first, most, looks, result):
    """Look at a table with `first` seeds and at every further one until all rows are decided, as the sweep does.

    Args:
        rows: answers of each, of `most` seeds.
        masks: score -> its questions, the overall one first.
        effects: true ones, (rows - 1, scores).
        first: seeds at the first look.
        most: seeds at the last one.
        looks: how the levels of looks are spent.
        result: to add to.
    """
    others = [f"{place}" for place in range(1, len(rows))]
    words, seeds, past = dict.fromkeys(others, Word.TOO_FEW), [most] * len(rows), dict(looks.before)
    significant = dict.fromkeys(((name, score) for name in others for score in masks), False)
    weights = {key: 0.5 / len(others) / (len(masks) - 1 if key[1] != "all" else 1) for key in significant}
    open_rows = list(others)
    for count in range(first, most + 1):
        now = replace(looks, before=past)
        for place, name in enumerate(others, start=1):
            seeds[place] = count if name in open_rows else seeds[place]
        seeds[0] = min(count + LEAD, len(rows[0].marks))
        gaps, values = {}, dict.fromkeys(significant, 1.0)
        for score, mask in masks.items():
            taken = [
                Answers(row.marks[:has][:, mask], np.unique(row.videos[mask], return_inverse=True)[1])
                for row, has in zip(rows, seeds, strict=True)
            ]
            prior = seed_prior(taken)
            for name in open_rows:
                quantile = now.quantile(name, "0", count)
                gaps[name, score] = difference(taken[int(name)], taken[0], prior, quantile)
        for key in significant:
            p = gaps[key].p if key in gaps else 1.0
            values[key] = now.p(key, "0", count, p, weights[key])
        corrected = dict(zip(significant, holm([*values.values()], [*weights.values()]), strict=True))
        for name in list(open_rows):
            for score in masks:
                significant[name, score] |= corrected[name, score] <= 0.05
            word = verdict(gaps[name, "all"], corrected[name, "all"], SMALLEST)
            if word:
                words[name] = word.word
                open_rows.remove(name)
                past |= {(name, score): significant[name, score] for score in masks}
            else:  # what was found of a family stays found
                past |= {(name, score): True for score in masks if significant[name, score]}
        if not open_rows:
            break
    result.words.append([*words.values()])
    result.seeds.append(list(seeds))
    none = np.abs(effects) < 1e-9
    calls = np.array([[significant[name, score] for score in masks] for name in others])
    result.false.append(bool((calls & none).any()))


def simulated(world, times, ways, seed=0):
    """Return way -> what came about in the same tables.

    Args:
        world: with the most seeds.
        times: tables.
        ways: name -> seeds at the first look, seeds at the last, and whether levels are spent.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    truth = world.truth()
    family = np.repeat(np.arange(world.families), world.videos)
    masks = {
        "all": np.ones(family.shape, dtype=bool),
        **{f"{number}": family == number for number in range(world.families)},
    }
    effects = np.column_stack([truth.mean(axis=1), truth])[1:] - np.concatenate([[truth[0].mean()], truth[0]])
    results = {name: Result() for name in ways}
    for _ in range(times):
        rows = world.table(rng)
        for name, (first, most, again) in ways.items():
            looks = Looks({f"{place}": most for place in range(world.rows)}) if again else ONCE
            decide(rows, masks, effects, first, most, looks, results[name])
    return effects[:, 0], results


MOST = 12
WAYS = {"until decided": (FIRST, MOST, True), "all at once": (MOST, MOST, False)}
_TEN = {"seed": 0.08, "fold": 10}
_CALM = {"seed": 0.06, "videos": 800, "families": 4}
WORLDS = [
    TableWorld("equal variances"),
    TableWorld("equal variances", rows=2),
    TableWorld("equal variances", rows=12),
    TableWorld("variances up to tenfold", **_TEN),
    TableWorld("full alone varies tenfold", wide=0, **_TEN),
    TableWorld("one row alone varies tenfold", wide=1, **_TEN),
    TableWorld("one family learnt in half of the seeds", level=3.0, jumps=1, rows=4),
    TableWorld("one family learnt in half of the seeds", level=3.0, jumps=1, rows=2),
    TableWorld("four families learnt in 70 %", level=3.0, jumps=4, learnt=(0.7,)),
    TableWorld("equal variances, half of the rows differ", effects=(0.0, 0.3), videos=400, families=4),
    TableWorld("equal variances, half differ by twice that", effects=(0.0, -0.7)),
    TableWorld("tenfold, half of the rows differ", effects=(0.0, -0.7), **_TEN),
    TableWorld("small variances, half of the rows differ", effects=(0.0, 0.3), **_CALM),
    TableWorld("small variances, all by what matters", effects=(0.14,), **_CALM),
    TableWorld("tenfold, all by what matters", effects=(0.14,), seed=0.04, fold=10, videos=800, families=4),
]


def main(times=1000, first=0, step=1):
    """Print a line per world and way, of each world or of each `step`-th from the `first` on."""
    print("| world | rows | seeds | tables with a false verdict, % | rows that differ, points | found, % | their seeds"
          " | not distinguishable, % | rows alike: not distinguishable, % | their seeds | runs a table |")  # fmt: skip
    print("| --- | ---: | --- |" + " ---: |" * 8)
    for world in WORLDS[first::step]:
        effects, results = simulated(replace(world, seeds=MOST), times, WAYS)
        apart = np.abs(effects) > 1e-9
        for way, result in results.items():
            words, seeds = np.array(result.words), np.array(result.seeds)
            called = np.isin(words, [*FOUND])
            cells = [world.name, f"{world.rows}", way, f"{100 * np.mean(result.false):.1f}" if not apart.all() else ""]
            if apart.any():
                cells += [f"{100 * effects[apart][0]:+.1f}", f"{100 * called[:, apart].mean():.1f}"]
                cells += [f"{seeds[:, 1:][:, apart].mean():.1f}", f"{100 * (words[:, apart] == Word.SAME).mean():.1f}"]
            else:
                cells += [""] * 4
            if not apart.all():
                cells += [
                    f"{100 * (words[:, ~apart] == Word.SAME).mean():.1f}",
                    f"{seeds[:, 1:][:, ~apart].mean():.1f}",
                ]
            else:
                cells += ["", ""]
            print("| " + " | ".join([*cells, f"{seeds.sum(axis=1).mean():.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Comparison of experiments with a baseline: every score, its difference, and the verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablation.comparing.answer_rows import Question
from ablation.comparing.answers import Answers
from ablation.comparing.certainty import Estimate, difference, holm, over_seeds_only, score
from ablation.comparing.experiment import Experiment, changes
from ablation.comparing.moderation import SeedPrior, learnt, seed_prior
from ablation.comparing.obstacles import common_questions, obstacles, remarks
from ablation.comparing.run import LeftOut
from ablation.comparing.sequential import ONCE, Looks
from ablation.comparing.verdict import Verdict, Word, too_few, verdict
from lightning_modules.scoring.metrics import Unit

Mask = NDArray[np.bool_]  # whether each question belongs to a group
ALL = "all"
LOSS = "test/loss"


@dataclass(frozen=True)
class Cell:
    """A score of an experiment.

    Attributes:
        value: score with its interval; None for the loss of a single seed, which has no interval.
        seeds: score of each seed.
        difference: difference from the baseline; None in the baseline's row, or if its variance cannot be estimated.
        corrected: p value of the difference, corrected for all tests.
        verdict: verdict on the difference; None for the baseline.
        learnt: number of seeds that have learnt the score if others have not learnt it at all; 0 if seeds agree.
    """

    value: Estimate | None
    seeds: tuple[float, ...]
    difference: Estimate | None = None
    corrected: float | None = None
    verdict: Verdict | None = None
    learnt: int = 0

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN without any."""
        return float(np.mean(self.seeds)) if self.seeds else float("nan")


@dataclass(frozen=True)
class Row:
    """An experiment in the comparison.

    Attributes:
        experiment: experiment with its runs.
        changes: settings that differ from the baseline's, one per line.
        cells: scores by name, the one over all questions first.
        loss: loss of the test.
        minutes: minutes of training, mean over seeds; None if unknown.
    """

    experiment: Experiment
    changes: Sequence[str]
    cells: dict[str, Cell]
    loss: Cell
    minutes: float | None

    @property
    def overall(self) -> Cell:
        """The score over all questions."""
        return next(iter(self.cells.values()))


@dataclass(frozen=True)
class Comparison:
    """A comparison of experiments over the same questions.

    Attributes:
        baseline: name of the experiment that others are compared with.
        rows: row of every experiment, the baseline's first.
        sizes: number of questions and of videos of every score.
        priors: prior of the variance between seeds of every score.
        unit: unit in which scores are shown.
        tests: number of tests that p values are corrected for.
        smallest: smallest difference that matters, as a share.
        ignored: differences between runs that `--although-different` allowed.
        remarks: further remarks, one per line.
        left_out: folders that are not compared.
        looks: looks at the tests.
        decided: lines about the decisions of a sweep that added seeds until rows were decided.
    """

    baseline: str
    rows: Sequence[Row]
    sizes: dict[str, tuple[int, int]]
    priors: dict[str, SeedPrior]
    unit: Unit
    tests: int
    smallest: float
    ignored: Sequence[str]
    remarks: Sequence[str]
    left_out: Sequence[LeftOut]
    looks: Looks = ONCE
    decided: Sequence[str] = ()

    def with_remarks(self, more: Sequence[str]) -> Comparison:
        """Return the comparison with further remarks."""
        return replace(self, remarks=[*self.remarks, *more])

    @property
    def over(self) -> str:
        """What intervals and tests generalise over (questions, seeds), in words."""
        single = [row.experiment.name for row in self.rows if len(row.experiment.seeds) == 1]
        if len(single) == len(self.rows):
            return (
                "over questions only: every experiment has one seed, so that a difference may be that of two trainings"
                " and not of two experiments"
            )
        if not single:
            return "over questions and seeds"
        return (
            "over questions and seeds; over questions only where an experiment has one seed, and in the difference from"
            f" or of it ({', '.join(single)})"
        )


def compare(
    experiments: Sequence[Experiment],
    baseline: Experiment,
    smallest: float | None,
    although_different: bool,
    scores: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
    looks: Looks = ONCE,
) -> Comparison:
    """Compare experiments over the questions that all their runs answered.

    Args:
        experiments: experiments to compare.
        baseline: one of the experiments.
        smallest: smallest difference that matters, in displayed units; None for the unit's default.
        although_different: whether to compare runs in spite of differences that must not be.
        scores: names of the scores to compare; empty for all.
        left_out: folders that are not compared.
        looks: looks at the tests, of which this is one.

    Raises:
        ValueError: runs cannot be compared, or a score does not exist.
    """
    unit = baseline.runs[0].answered.unit
    smallest = (unit.smallest if smallest is None else smallest) / unit.best
    problems = obstacles(experiments)
    questions = common_questions(experiments)
    if not questions:
        raise ValueError("no question is common to all runs, so there is nothing to compare: " + "; ".join(problems))
    if problems and not although_different:
        raise ValueError(
            "these runs cannot be compared:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nLeave some of them out, or give --although-different to compare them all the same, over common"
            " questions"
        )
    groups = score_groups(questions, scores)
    others = [experiment for experiment in experiments if experiment is not baseline]
    notes = list(remarks(experiments))
    answers = {experiment.name: experiment.answers(questions) for experiment in experiments}
    base = answers[baseline.name]
    priors = {
        name: seed_prior([row_answers.subset(mask) for row_answers in answers.values()])
        for name, mask in groups.items()
    }
    rows = [
        _row(experiment, baseline, answers[experiment.name], base, groups, priors, looks)
        for experiment in (baseline, *others)
    ]
    for row in rows:
        missing = len(row.experiment.seeds) - len(row.loss.seeds)
        if missing and any(run.figures for run in row.experiment.runs):  # a test by itself keeps no figures
            notes.append(f"{row.experiment.name}: {LOSS} is missing or no number in {missing} of its seeds")
    shares = _shares(rows)
    gaps = {key: (cell.difference, share) for key, (cell, share) in shares.items() if cell.difference}
    fewer = {experiment.name: min(len(experiment.seeds), len(baseline.seeds)) for experiment in others}
    values = [looks.p(key, baseline.name, fewer[key[0]], gap.p, share) for key, (gap, share) in gaps.items()]
    absent = max(1.0, looks.rows / max(1, len(others)))
    p_values = [min(1.0, absent * p) for p in holm(values, [share for _, share in gaps.values()])]
    corrected = dict(zip(gaps, p_values, strict=True))

    def judged(row: Row, name: str, cell: Cell) -> Cell:
        key = row.experiment.name, name
        if cell.difference is None:
            return cell
        if name == LOSS:  # no smallest difference that matters is defined for a loss
            result = verdict(cell.difference, corrected[key], 0.0, higher_is_better=False) or Verdict(Word.TOO_FEW)
        else:
            ours, theirs = answers[row.experiment.name].subset(groups[name]), base.subset(groups[name])
            result = verdict(cell.difference, corrected[key], smallest) or too_few(
                cell.difference, ours, theirs, smallest, gaps[key][1], unit, priors[name]
            )
        return replace(cell, corrected=corrected[key], verdict=result)

    return Comparison(
        baseline=baseline.name,
        rows=[
            replace(
                row,
                cells={name: judged(row, name, cell) for name, cell in row.cells.items()},
                loss=judged(row, LOSS, row.loss),
            )
            for row in rows
        ],
        sizes={name: (int(mask.sum()), len(set(base.videos[mask].tolist()))) for name, mask in groups.items()},
        priors=priors,
        unit=unit,
        tests=len(gaps),
        smallest=smallest,
        ignored=problems,
        remarks=notes,
        left_out=left_out,
        looks=looks,
    )


def _shares(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[Cell, float]]:
    """Return the tests by experiment and score, with their shares of the 5 %; overall scores have half of it."""
    tests = {
        (row.experiment.name, name): cell
        for row in rows
        for name, cell in (*row.cells.items(), (LOSS, row.loss))
        if cell.difference is not None
    }
    overall = next(iter(rows[0].cells))
    first = sum(name == overall for _, name in tests)
    rest = len(tests) - first
    half = 0.5 if rest else 1.0
    return {key: (cell, half / (first if key[1] == overall else rest)) for key, cell in tests.items()}


def score_groups(questions: Sequence[Question], wanted: Sequence[str]) -> dict[str, Mask]:
    """Return the questions of every score: of all, each benchmark and each family; equal groups once."""
    families = [question.family for question in questions]
    benchmarks = sorted({family.split("/")[0] for family in families if "/" in family})
    groups = {ALL: np.ones(len(questions), dtype=bool)}
    groups |= {name: np.array([family.split("/")[0] == name for family in families]) for name in benchmarks}
    groups |= {name: np.array([family == name for family in families]) for name in sorted(set(families))}
    different: dict[bytes, str] = {}
    for name, mask in groups.items():
        different.setdefault(mask.tobytes(), name)
    unknown = [name for name in wanted if name not in groups]
    if unknown:
        raise ValueError(f"--scores names {', '.join(unknown)}; there are {', '.join(groups)}")
    return {name: groups[name] for name in dict.fromkeys(wanted or different.values())}


def _row(
    experiment: Experiment,
    baseline: Experiment,
    answers: Answers,
    base: Answers,
    groups: dict[str, Mask],
    priors: dict[str, SeedPrior],
    looks: Looks,
) -> Row:
    is_base = experiment is baseline
    quantile = looks.quantile(experiment.name, baseline.name, min(len(experiment.seeds), len(baseline.seeds)))
    cells = {}
    for name, mask in groups.items():
        ours, theirs = answers.subset(mask), base.subset(mask)
        gap = None if is_base else difference(ours, theirs, priors[name], quantile)
        cells[name] = Cell(score(ours, priors[name]), tuple(ours.means), gap, learnt=learnt(ours))
    ours_loss, base_loss = experiment.figures(LOSS), baseline.figures(LOSS)
    minutes = experiment.figures("train/minutes")
    loss = Cell(
        over_seeds_only(ours_loss, ()) if ours_loss else None,
        tuple(ours_loss),
        None if is_base or not (ours_loss and base_loss) else over_seeds_only(ours_loss, base_loss, quantile),
    )
    differing = [] if is_base else changes(experiment.config, baseline.config)
    return Row(experiment, differing, cells, loss, float(np.mean(minutes)) if minutes else None)

"""Experiments against a baseline: every score, its difference, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablation.comparing.answer_rows import Question
from ablation.comparing.answers import Answers
from ablation.comparing.certainty import Estimate, difference, holm, over_seeds_only, score
from ablation.comparing.experiment import Experiment, changes
from ablation.comparing.finding import LeftOut
from ablation.comparing.moderation import SeedPrior, learnt, seed_prior
from ablation.comparing.obstacles import common_questions, obstacles, remarks
from ablation.comparing.sequential import ONCE, Looks
from ablation.comparing.verdict import Verdict, Word, too_few, verdict
from lightning_modules.scoring.unit import Unit

Mask = NDArray[np.bool_]  # of questions
ALL = "all"
LOSS = "test/loss"


@dataclass(frozen=True)
class Cell:
    """A score of an experiment.

    Attributes:
        value: of it; None of the loss of a single seed, which has no interval.
        seeds: of each seed.
        difference: from the baseline's; None of the baseline itself, and where there is no spread to compare.
        corrected: p value of the difference among all tests.
        verdict: what is to be said of the difference; None of the baseline.
        learnt: how many seeds have learnt it where others have not at all; 0 where seeds are of one kind.
    """

    value: Estimate | None
    seeds: tuple[float, ...]
    difference: Estimate | None = None
    corrected: float | None = None
    verdict: Verdict | None = None
    learnt: int = 0

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.seeds)) if self.seeds else float("nan")


@dataclass(frozen=True)
class Row:
    """An experiment in the comparison.

    Attributes:
        experiment: its runs.
        changes: in what its configuration differs from the baseline's.
        cells: score -> what it is, first that of all questions.
        loss: of the test.
        minutes: of training, mean over seeds; None if it is not known.
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
    """All experiments over the same questions.

    Attributes:
        baseline: name of the experiment that others are compared with.
        rows: the baseline first.
        sizes: score -> questions and videos that it is over.
        priors: score -> what all rows say of its variance between seeds.
        unit: in which scores are shown.
        tests: how many tests p values are corrected for.
        smallest: difference that matters, as a share.
        ignored: what differs although it should not, as `--although-different` was given.
        remarks: what else is to be known.
        left_out: folders that are not compared.
        looks: how often its tests are looked at.
        decided: when rows that were given seeds until they were decided were so, and what that cost.
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

    def remarking(self, more: Sequence[str]) -> Comparison:
        """Return it with further remarks."""
        return replace(self, remarks=[*self.remarks, *more])

    @property
    def over(self) -> str:
        """What intervals and tests are over, in words."""
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
        experiments: with their runs.
        baseline: one of them.
        smallest: difference that matters, as it is shown: in percentage points, or those of a judge; None: the usual.
        although_different: whether runs that differ in what they must not are compared all the same.
        scores: names of the scores that are compared; all if none.
        left_out: folders that are not compared.
        looks: how often the tests are looked at, of which this is one time.

    Raises:
        ValueError: runs cannot be compared, or have no such score.
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
    others = [each for each in experiments if each is not baseline]
    said = list(remarks(experiments))
    answers = {each.name: each.answers(questions) for each in experiments}
    base = answers[baseline.name]
    priors = {name: seed_prior([each.of(mask) for each in answers.values()]) for name, mask in groups.items()}
    rows = [_row(each, baseline, answers[each.name], base, groups, priors, looks) for each in (baseline, *others)]
    for row in rows:
        missing = len(row.experiment.seeds) - len(row.loss.seeds)
        if missing and any(run.figures for run in row.experiment.runs):  # a test by itself keeps no figures
            said.append(f"{row.experiment.name}: {LOSS} is missing or no number in {missing} of its seeds")
    shares = _shares(rows)
    gaps = {key: (cell.difference, share) for key, (cell, share) in shares.items() if cell.difference}
    fewer = {each.name: min(len(each.seeds), len(baseline.seeds)) for each in others}
    values = [looks.p(key, baseline.name, fewer[key[0]], gap.p, share) for key, (gap, share) in gaps.items()]
    absent = max(1.0, looks.rows / max(1, len(others)))
    found = [min(1.0, absent * p) for p in holm(values, [share for _, share in gaps.values()])]
    corrected = dict(zip(gaps, found, strict=True))

    def judged(row: Row, name: str, cell: Cell) -> Cell:
        key = row.experiment.name, name
        if cell.difference is None:
            return cell
        if name == LOSS:  # of which nobody knows which difference matters
            found = verdict(cell.difference, corrected[key], 0.0, higher_is_better=False) or Verdict(Word.TOO_FEW)
        else:
            ours, theirs = (each.of(groups[name]) for each in (answers[row.experiment.name], base))
            found = verdict(cell.difference, corrected[key], smallest) or too_few(
                cell.difference, ours, theirs, smallest, gaps[key][1], unit, priors[name]
            )
        return replace(cell, corrected=corrected[key], verdict=found)

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
        remarks=said,
        left_out=left_out,
        looks=looks,
    )


def _shares(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[Cell, float]]:
    """Return each test, by experiment and score, with its share of the 5 %: the overall score has half of it."""
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
    """Return score -> which questions it is over: all, each benchmark, each family; equal ones once."""
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
    certain = looks.certain(experiment.name, baseline.name, min(len(experiment.seeds), len(baseline.seeds)))
    cells = {}
    for name, mask in groups.items():
        ours, theirs = answers.of(mask), base.of(mask)
        gap = None if is_base else difference(ours, theirs, priors[name], certain)
        cells[name] = Cell(score(ours, priors[name]), tuple(ours.means()), gap, learnt=learnt(ours))
    ours_loss, base_loss = experiment.figures(LOSS), baseline.figures(LOSS)
    minutes = experiment.figures("train/minutes")
    loss = Cell(
        over_seeds_only(ours_loss, ()) if ours_loss else None,
        tuple(ours_loss),
        None if is_base or not (ours_loss and base_loss) else over_seeds_only(ours_loss, base_loss, certain),
    )
    differing = [] if is_base else changes(experiment.config, baseline.config)
    return Row(experiment, differing, cells, loss, float(np.mean(minutes)) if minutes else None)

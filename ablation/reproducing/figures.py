"""What the answers of several rows to the same questions come to, by the statistics of `video-panda compare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ablation.comparing.answer_rows import Question
from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, holm, score
from ablation.comparing.comparison import Cell
from ablation.comparing.moderation import learnt, seed_prior
from ablation.comparing.verdict import too_few, verdict
from ablation.reproducing.measure import Measure

Marks = Mapping[Question, int]


def figures(marks: Mapping[str, Mapping[int, Marks]], measure: Measure, base: str) -> tuple[dict[str, Cell], int]:
    """Return the figure of each row that has any, and how many questions these are over: those that all runs have.

    Args:
        marks: row -> seed -> question -> what its answer is worth; of no seed, of a row that was not tested.
        measure: of the answers.
        base: row that the others are compared with; if it was not tested, there are no differences.
    """
    there = {row: list(seeds.values()) for row, seeds in marks.items() if seeds and all(seeds.values())}
    runs = [run for seeds in there.values() for run in seeds]
    questions = [question for question in runs[0] if all(question in run for run in runs)] if runs else []
    if not questions:
        return {}, 0
    videos = np.unique([question.cluster for question in questions], return_inverse=True)[1]
    answers = {
        row: Answers(np.array([[run[question] for question in questions] for run in seeds]), videos, measure.full)
        for row, seeds in there.items()
    }
    prior = seed_prior(list(answers.values()))
    others = {row: each for row, each in answers.items() if base in answers and row != base}
    gaps = {row: difference(each, answers[base], prior) for row, each in others.items()}
    share = 1 / max(1, len(gaps))
    corrected = dict(zip(gaps, holm([gap.p for gap in gaps.values()], [share] * len(gaps)), strict=True))
    found = {}
    for row, each in answers.items():
        cell = Cell(score(each, prior), tuple(each.means()), learnt=learnt(each))
        if row in gaps:
            smallest = measure.unit.smallest / measure.unit.best
            said = verdict(gaps[row], corrected[row], smallest)
            said = said or too_few(gaps[row], each, answers[base], smallest, share, measure.unit, prior)
            cell = replace(cell, difference=gaps[row], corrected=corrected[row], verdict=said)
        found[row] = cell
    return found, len(questions)

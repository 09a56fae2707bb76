"""Scores of 0 to 5 that a judge gives, of each aspect if it gives several: `compare --points`."""

import csv
import json

import numpy as np
import pytest

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, score
from tests.ablation.comparing.run_folders import GOOD, write_run
from tests.ablation.comparing.run_folders import rows as answer_rows
from tests.ablation.comparing.simulated import World, rates, score_coverage
from tests.ablation.comparing.test_command import line

ASPECTS = ("correctness", "temporal")


def judge(folder, scores, aspects=ASPECTS):
    """Write what a judge gives each answer, for each aspect; None is what it did not say."""
    path = folder / "judgements/test/someone-00000000.jsonl"
    path.parent.mkdir(parents=True)
    answers = [json.loads(line) for line in (folder / "answers/test.jsonl").read_text().splitlines()]
    lines = [
        {
            **{key: row[key] for key in ("id", "video", "question", "reference", "prediction")},
            "aspect": aspect,
            "right": None if aspect or score is None else score >= 3,
            "score": score,
            "unjudged": "no reply" if score is None else None,
            "judge": {"name": "someone", "hash": "0" * 64},
        }
        for aspect in aspects
        for row, score in zip(answers, scores[aspect], strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def judged(runs):
    """Two experiments with forty videos of two questions: as good in one aspect, one and a half points apart in one."""
    questions = 2 * len(GOOD)
    for name, temporal in (("full", [4, 3]), ("worse", [2.5, 1.5])):
        folder = write_run(runs, name, 0, answer_rows(GOOD, families=("vcg/generic", "vcg/temporal")))
        judge(folder, {"correctness": [3, 4] * (questions // 2), "temporal": temporal * (questions // 2)})
    return runs


def test_each_aspect_is_a_score_of_its_own(judged, compared, tmp_path):
    text = compared(
        judged, "--judge", "someone-00000000", "--points", "--baseline", "full", "--csv", tmp_path / "a.csv"
    )
    assert "The judge's scores of 0 to 5, over 160 questions about 40 videos" in text
    assert "differences from full in points" in text and "a difference of 0.1 points is ruled out" in text
    assert (
        " 3.50 [" in line(text, "| full") and " -0.75 [" in line(text, "| worse") and "worse" in line(text, "| worse")
    )
    assert " -1.50 [" in line(text, "| vcg/temporal") and line(text, "| vcg/temporal").rstrip(" |").endswith("-")
    assert " +0.00 [" in line(text, "| vcg/correctness") and "generic" not in text
    table = {(row["experiment"], row["score"]): row for row in csv.DictReader((tmp_path / "a.csv").open())}
    assert float(table["worse", "vcg/temporal"]["difference"]) == pytest.approx(-0.3)


def test_what_the_judge_did_not_say_is_left_out_and_counted(runs, compared):
    for name in ("full", "other"):
        folder = write_run(runs, name, 0, answer_rows(GOOD))
        judge(folder, {None: [None, 5] + [2] * 78}, aspects=[None])
    text = compared(runs, "--judge", "someone-00000000", "--points", "--smallest", "1.5")
    assert "over 79 questions" in text and "1 questions are left out" in text and "1.5 points is ruled out" in text
    # The same file says what is right, too.
    assert "Right answers in percent, over 79 questions" in compared(runs, "--judge", "someone-00000000")


def test_a_pair_is_one_judgement_and_what_was_scored_is_not_left_out(runs, compared):
    rows = answer_rows(GOOD, families=("vcg/consistency_1", "vcg/consistency_2"))
    for place, row in enumerate(rows):
        row["id"] = f"c/{place // 2}/{1 + place % 2}"
    for name in ("full", "other"):
        folder = write_run(runs, name, 0, rows)
        judge(folder, {"consistency": [4] * len(rows)}, aspects=["consistency"])
        path = folder / "judgements/test/someone-00000000.jsonl"
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["id"].endswith("/1")]
        lines[-1] = json.dumps({**json.loads(lines[-1]), "aspect": None, "right": True})  # asked whether it is right
        path.write_text("\n".join(lines) + "\n")
    text = compared(runs, "--judge", "someone-00000000", "--points")
    assert "over 40 questions about 40 videos" in text and "1 questions are left out" in text
    text = compared(runs, "--judge", "someone-00000000")
    assert "over 1 questions" in text and "1 questions are left out" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--points"], "give --judge NAME too"),
        (["--points", "--judge", "someone-00000000", "--smallest", "5"], "between 0 and 5 points"),
        (["--judge", "someone-00000000"], "says of no answer whether it is right; --points compares its scores"),
    ],
)
def test_what_cannot_be_compared(judged, refused, arguments, message):
    assert message in refused(judged, *arguments)


def test_intervals_are_those_of_a_bootstrap_of_videos():
    rng = np.random.default_rng(0)
    ours, base = World(videos=150, questions=4, effect=0.3, full=5).answers(rng)
    gaps = (ours.marks - base.marks)[0].reshape(150, 4).mean(1) / 5
    values = ours.marks[0].reshape(150, 4).mean(1) / 5
    draws = rng.integers(0, 150, (4000, 150))
    for estimate, drawn in ((difference(ours, base), gaps), (score(ours), values)):
        low, high = np.quantile(drawn[draws].mean(1), [0.025, 0.975])
        assert estimate.interval.value == pytest.approx(drawn.mean())
        assert estimate.interval.high - estimate.interval.low == pytest.approx(high - low, rel=0.06)


def test_the_truth_is_in_95_of_100_intervals():
    for world in (World(videos=60, full=5), World(seeds=(3, 3), seed=0.15, full=5)):
        covered, small = rates(world, 300)
        assert covered >= 0.92 and small <= 0.08
        assert score_coverage(world, 300) >= 0.92


def test_scores_that_are_all_the_same_have_a_width():
    estimate = score(Answers(np.full((1, 40), 30), np.arange(40), full=50)).interval
    assert estimate.value == 0.6 and estimate.low < 0.55 and estimate.high > 0.65

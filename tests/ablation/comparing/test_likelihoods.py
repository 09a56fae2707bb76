"""Log-likelihoods beside exact match: compared by the same methods, and in nobody's way."""

import csv
import itertools
import math

import numpy as np
import pytest

from ablation.comparing.certainty import Answers, difference, on_grid, randomisation_p, score
from ablation.comparing.curves import area
from lightning_modules.scoring.interval import Z, clustered_mean
from tests.ablation.comparing.run_folders import GOOD, config, rows, with_likelihoods, write_run
from tests.ablation.comparing.simulated import LikelihoodWorld, rates, score_coverage
from tests.ablation.comparing.test_page import Reader


def line(text, begins):
    return next(line for line in text.splitlines() if line.startswith(begins))


def write(runs, name, seed, level, likely=((10, -1.5), (20, -0.5)), **settings):
    drawn = -np.random.default_rng([seed, len(name)]).exponential(-level, 2 * len(GOOD))
    answers = with_likelihoods(rows(GOOD), drawn)
    return write_run(runs, name, seed, answers, settings=config(seed, **settings), likely=likely)


@pytest.fixture
def three(runs):
    """Three experiments that are right equally often; of the second, right answers are less likely."""
    for seed in range(3):
        write(runs, "full", seed, -0.3 - 0.01 * seed)
        write(runs, "worse", seed, -0.9 - 0.01 * seed, ((10, -1.9 + 0.01 * seed), (20, -0.9)), width=9)
        write_run(runs, "older", seed, rows(GOOD), settings=config(seed, width=5))
    return runs


def test_what_exact_match_does_not_show_is_seen(three, compared, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "latex", "html", "markdown")}
    text = compared(
        three, "--baseline", "full", *(word for kind, file in files.items() for word in (f"--{kind}", file))
    )
    assert " +0.0 [" in line(text, "| worse")
    table = text[text.index("| log-likelihood, nats") :]
    for name in ("| all ", "| colour ", "| learning curve "):
        older, worse = line(table, name).rstrip(" |").split("|")[-2:]
        assert older.strip() == "-" and worse.strip().startswith("-0.") and worse.endswith("] -"), name
    assert "-0.395 [" in line(table, "| learning curve ") and "-1.000" in line(table, "| learning curve ")
    assert "corrected for 4 tests of their own" in text
    assert text.startswith(files["markdown"].read_text().rstrip())
    lines = [row for row in csv.DictReader(files["csv"].open()) if row["score"].startswith("log_likelihood/")]
    assert [(line["experiment"], line["score"].partition("/")[2]) for line in lines] == [
        (name, score) for name in ("full", "worse") for score in ("all", "colour", "count", "learning curve")
    ]  # fmt: skip
    assert {line["verdict"] for line in lines} == {"", "worse"} and lines[4]["questions"] == "80"
    assert float(lines[4]["p_corrected"]) == pytest.approx(2 * float(lines[4]["p"]))  # half of the 5 % is for this one
    assert r"\mathbf{-0.6" in files["latex"].read_text() and files["latex"].read_text().count(r"\toprule") == 2
    page = Reader(files["html"].read_text())
    assert "How likely the right answer is" in page.words
    assert {"val/log_likelihood/mean of worse"} < {attributes["aria-label"] for attributes in page.of("svg")}


def test_exact_match_says_the_same_with_it_and_without(three, compared, tmp_path):
    def headline():
        compared(three, "--baseline", "full", "--csv", tmp_path / "out.csv")
        return [row for row in csv.DictReader((tmp_path / "out.csv").open()) if "log_" not in row["score"]]

    before = headline()
    for file in three.glob("*/*/answers/test.jsonl"):
        file.write_text(file.read_text().replace("log_likelihood", "something_else"))
    assert headline() == before
    text = compared(three, "--baseline", "full")
    assert "log-likelihood" not in text, "runs of before have none, and it is not spoken of"


def test_without_it_in_the_baseline_nothing_is_compared_and_a_judge_has_none(three, compared, refused):
    assert "log-likelihood" not in compared(three, "--baseline", "older")
    assert "log-likelihood, nats" in compared(three, "--baseline", "full", "--scores", "count")
    path = three / "full/seed_0/answers/test.jsonl"
    whole = path.read_text()
    first = whole.splitlines()[0]
    for wrong in ("NaN", "0.5", "-Infinity", "true", '"-1"'):
        begins = first[: first.index("log_likelihood") + len('log_likelihood": ')]
        path.write_text(whole.replace(first, f"{begins}{wrong}}}"))
        reason = line(compared(three, "--baseline", "full"), f"- {three}/full/seed_0: ")
        assert "`log_likelihood` of question '0/colour' is" in reason and "it must be a number of at most 0" in reason


def test_a_run_without_validations_has_no_learning_curve(three, compared):
    write(three, "uncurved", 0, -0.3, likely=(), width=2)
    text = compared(three / "full/seed_0", three / "uncurved")
    assert [cell.strip() for cell in line(text, "| learning curve ").split("|")[-3:-1]] == ["-1.000", "-"]


def test_the_area_is_the_mean_over_steps():
    assert area({10: -2.0, 20: -1.0, 60: -1.0}) == pytest.approx((10 * -1.5 + 40 * -1.0) / 50)
    assert area({7: -2.0}) == -2.0


def test_numbers_on_a_grid_have_the_p_of_all_their_signs():
    gaps = np.random.default_rng(0).normal(0.2, 1, 12).tolist()
    sums = [abs(sum(sign * gap for sign, gap in zip(signs, gaps, strict=True)))
            for signs in itertools.product((1, -1), repeat=12)]  # fmt: skip
    exact = np.mean([total >= abs(sum(gaps)) - 1e-9 for total in sums])
    assert randomisation_p(on_grid(gaps)) == pytest.approx(exact, rel=0.01)
    assert on_grid([0.0, -0.0]) == [0, 0] and randomisation_p(on_grid([])) == 1.0


def nats(*seeds, videos):
    return Answers(np.array(seeds), np.asarray(videos), bounds=(-math.inf, 0.0))


def test_over_questions_it_is_the_cluster_robust_interval_but_for_t():
    rng = np.random.default_rng(0)
    videos = np.repeat(np.arange(100), 4)
    ours, base = -rng.exponential(0.5, 400), -rng.exponential(0.6, 400)
    usual = clustered_mean((ours - base).tolist(), videos.tolist(), -9, 9)
    interval = difference(nats(ours, videos=videos), nats(base, videos=videos)).interval
    assert interval.value == pytest.approx(usual.value)
    assert (interval.high - interval.low) / (usual.high - usual.low) == pytest.approx(1.984217 / Z, rel=1e-4)
    alone = score(nats(-0.01 * np.arange(8.0), videos=np.arange(8))).interval
    assert alone.high <= 0 and alone.low < alone.value == pytest.approx(-0.035)
    same = difference(nats(ours, videos=videos), nats(ours, videos=videos))
    assert (same.interval.value, same.p) == (0.0, 1.0)
    one = difference(nats(ours[:4], ours[4:8], videos=[0] * 4), nats(base[:4], base[4:8], videos=[0] * 4))
    assert one.interval.low == -math.inf and one.p == 1.0, "of one video nothing is known"


@pytest.mark.parametrize("seeds", [(1, 1), (3, 3)])
def test_the_truth_is_in_95_of_100_intervals_and_nothing_is_found_where_there_is_nothing(seeds):
    world = LikelihoodWorld(videos=60, questions=4, seeds=seeds, seed=0.3 * (seeds != (1, 1)))
    covered, small = rates(world, 200)
    assert covered >= 0.91 and small <= 0.085
    assert score_coverage(world, 200) >= 0.88


def test_over_one_video_there_is_no_interval(runs, compared, tmp_path):
    for name in ("full", "worse"):
        answers = with_likelihoods(rows(GOOD[:1]), [-0.5, -1.5])
        write_run(runs, name, 0, answers, settings=config(0, width=len(name)))
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "latex", "html")}
    text = compared(runs, "--baseline", "full", *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert [part.strip() for part in line(text, "| all      ").split("|")[4:6]] == ["-1.000", "-"]
    assert not any(
        "inf" in content.lower().split() for content in (text, *(file.read_text() for file in files.values()))
    )
    assert "-inf" not in text and "-inf" not in files["csv"].read_text() + files["html"].read_text()

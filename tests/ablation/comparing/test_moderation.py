"""What rows of a table share of their seeds: known cases, and whole simulated tables whose truth is known."""

import numpy as np
import pytest

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, score
from ablation.comparing.moderation import ALONE, learnt, seed_prior
from ablation.comparing.verdict import too_few
from lightning_modules.scoring.metrics import PERCENT
from tests.ablation.comparing.run_folders import GOOD, config, rows, write_run
from tests.ablation.comparing.simulated_tables import TableWorld, rates
from tests.ablation.comparing.test_command import line


def row(*shares, questions=200):
    """Seeds that have these shares of the questions right, each about a video of its own."""
    right = [np.random.default_rng(0).permutation(questions) < round(share * questions) for share in shares]
    return Answers(np.array(right, dtype=int), np.arange(questions))


def test_rows_that_differ_alike_share_what_they_know():
    table = [row(0.60, 0.62, 0.64), row(0.70, 0.73, 0.75), row(0.50, 0.51, 0.54), row(0.60, 0.63, 0.64)]
    prior = seed_prior(table)
    assert 0.5 < prior.freedom < 8 and prior.most == 8 and not prior.coin
    alone, moderated = difference(table[1], table[0]), difference(table[1], table[0], prior)
    assert moderated.interval.value == alone.interval.value
    assert alone.variance.freedom < moderated.variance.freedom
    assert prior.moderated(table[2])[1] == pytest.approx(2 + prior.freedom, rel=0.2)


def test_a_row_is_drawn_up_to_the_others_and_hardly_down():
    table = [row(0.6, 0.62, 0.64), row(0.4, 0.5, 0.55), row(0.5, 0.502, 0.504, questions=1000), row(0.5, 0.52, 0.53)]
    prior = seed_prior(table)
    own = [float(answers.means.var(ddof=1)) for answers in table]
    (wide, few), (narrow, more) = (prior.moderated(table[place]) for place in (1, 2))
    assert 0.9 * own[1] < wide < own[1] and 2 < few < 2.2
    assert narrow > 20 * own[2] and more == pytest.approx(2 + prior.freedom)


def test_rows_with_all_right_have_a_variance_and_break_nothing():
    table = [row(1.0, 1.0, 1.0), row(1.0, 1.0, 1.0), row(0.6, 0.62, 0.65), row(0.5, 0.53, 0.54), row(0.6, 0.6, 0.61)]
    prior = seed_prior(table)
    assert 0 < prior.moderated(table[0])[0] < prior.moderated(table[2])[0]
    assert difference(table[1], table[0], prior).p == 1.0
    assert difference(table[2], table[0], prior).p < 0.01 and score(table[0], prior).interval.low < 0.99
    assert seed_prior([row(1.0, 1.0, 1.0)] * 7).freedom == seed_prior([row(0.0, 0.0)] * 7).freedom == 0


def test_of_one_seed_each_or_of_two_rows_nothing_is_shared():
    table = [row(0.6), row(0.7), row(0.8)]
    assert seed_prior(table) == ALONE
    pair = [row(0.6, 0.62), row(0.7, 0.75)]
    assert seed_prior([*pair, row(0.8)]).freedom == 0
    assert difference(*pair, seed_prior(pair)).interval == difference(*pair).interval


@pytest.mark.parametrize(
    ("shares", "questions", "seeds"),
    [
        ((0.97, 0.25, 0.98), 200, 2),
        ((0.3, 0.31, 0.96, 0.29, 0.28), 200, 1),
        ((0.6, 0.7, 0.8), 200, 0),  # differ much, but there is no gap
        ((0.9, 0.6), 20, 0),  # six answers of twenty
        ((1.0, 0.0), 1, 0),
        ((0.9,), 200, 0),
    ],
)
def test_seeds_of_two_kinds_are_told_from_seeds_that_differ(shares, questions, seeds):
    assert learnt(row(*shares, questions=questions)) == seeds


def test_three_seeds_against_none_are_not_enough_where_a_family_jumps():
    full, never, some = row(0.97, 0.98, 0.97), row(0.3, 0.28, 0.31), row(0.97, 0.3, 0.98)
    prior = seed_prior([full, never, some, *[full] * 4])
    assert difference(never, full).p < 1e-4  # what each row by itself says
    estimate = difference(never, full, prior)
    assert 0.01 < estimate.p < 0.05
    assert difference(some, full, prior).p > 0.2
    # The exact test could have p < 0.05 / 96 with seven, as 2 / 4 ** 7 is less.
    needed = too_few(estimate, never, full, 0.02, 1 / 96, PERCENT, prior).needed
    assert needed == "about 11 seeds each to see 67.7 points"


def test_tables_hold_what_they_promise_with_rows_that_differ_tenfold_and_families_that_jump():
    """Twelve rows of which the baseline varies most: every test of the table is too narrow if rows share too much."""
    world = TableWorld("", rows=12, families=1, videos=300, seed=0.25, fold=5, wide=0)
    estimate = rates(world, 150, {"moderated": seed_prior})["moderated"]
    assert np.mean(estimate["false"]) <= 0.06 and np.mean(estimate["covered"]) >= 0.94
    jumping = TableWorld("", families=2, jumps=1, level=3.0, videos=200)
    estimate = rates(jumping, 60)
    assert np.mean(estimate["moderated"]["false table"]) <= 0.05 < np.mean(estimate["alone"]["false table"])


def test_a_family_that_jumps_and_what_is_shared_are_said_everywhere(runs, compared, tmp_path):
    for seed in range(3):
        for name, right in (("full", GOOD), ("same", GOOD[seed:]), ("jumps", GOOD if seed else [1] * 40)):
            answers = rows([*right, *[0] * (40 - len(right))])
            write_run(runs, name, seed, answers, settings=config(seed), figures={})
    page = tmp_path / "page.html"
    text = compared(runs, "--baseline", "full", "--html", page, "--csv", tmp_path / "a.csv")
    assert line(text, "| count").count(" (2 of 3) |") == 1
    assert "Heavy tails in count (jumps: learnt in 2 of 3 seeds; in brackets in the table)" in text
    assert "learnt in 2 of 3 seeds" in page.read_text() and "Heavy tails in count" in page.read_text()
    alone = line(compared(runs, "--baseline", "full", "--scores", "count"), "| jumps")
    assert "| 3: 0.0 to 75.0, learnt in 2 of 3 seeds |" in alone and "too few data" in alone
    assert "jumps,full,count,40,40,3,2," in (tmp_path / "a.csv").read_text()


def test_how_much_is_shared_is_said_of_each_score(runs, compared):
    for name, right in (("full", (29, 30, 31)), ("a", (28, 30, 29)), ("b", (30, 30, 32)), ("c", (25, 26, 28))):
        for seed, count in enumerate(right):
            answers = rows([2] * count + [0] * (40 - count))
            write_run(runs, name, seed, answers, settings=config(seed), figures={})
    shared = line(
        compared(runs, "--baseline", "full"), "- Variances between seeds are moderated over 4 rows; degrees of"
    )
    freedom = float(shared.split(": all ")[1].split(",")[0])
    assert 0.1 < freedom < 10 and "colour" in shared and "count" in shared

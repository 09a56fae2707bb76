"""Tables that are looked at while seeds are added: levels of looks, and simulated tables whose truth is known."""

import json

import numpy as np
import pytest
from scipy import stats

from ablation.comparing.decisions import Decisions, RowLook, ScoreLook, read
from ablation.comparing.moderation import seed_prior
from ablation.comparing.sequential import FIRST, ONCE, Looks, levels, spent
from ablation.comparing.verdict import Word
from tests.ablation.comparing.run_folders import BAD, GOOD, config, rows, with_likelihoods, write_run
from tests.ablation.comparing.simulated_looks import simulated
from tests.ablation.comparing.simulated_tables import TableWorld
from tests.ablation.comparing.test_command import line
from tests.ablation.comparing.test_moderation import row


@pytest.mark.parametrize(("most", "whole"), [(3, 0.05), (6, 0.05), (12, 0.05), (12, 0.1), (30, 0.05)])
def test_all_looks_together_have_the_level_of_one(most, whole):
    steps = np.random.default_rng(0).normal(size=(100_000, most))
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, most + 1))
    p = 2 * stats.norm.sf(np.abs(z[:, FIRST - 1 :]))
    assert (p <= 0.05).any(axis=1).mean() > 0.1 or most == FIRST  # what looks at 5 % each come to
    assert (p <= np.array(levels(most, whole))).any(axis=1).mean() == pytest.approx(whole, rel=0.05)


def test_levels_grow_and_a_smaller_share_has_hardly_more_than_its_share():
    result = levels(12, 0.05)
    assert result[0] == pytest.approx(0.05 / 64) and all(np.diff(result) > 0) and result[-1] > 0.03
    small = levels(12, 0.0005)
    assert all(one / 0.0005 <= other / 0.05 * 1.001 for one, other in zip(small, result, strict=True))
    assert spent(2, 12, 0.05) == 0 and spent(20, 12, 0.05) == spent(12, 12, 0.05)


def test_who_looks_once_has_p_and_intervals_as_ever():
    assert ONCE.p(("a", "all"), "full", 3, 0.01, 0.5) == 0.01 and ONCE.quantile("a", "full", 3) == 0.975
    looks = Looks({"a": 6}, {("a", "all"): True, ("a", "count"): False})
    assert looks.p(("a", "all"), "full", 3, 0.9, 0.5) == 0.0 and looks.p(("a", "count"), "full", 3, 0.0, 0.5) == 1.0
    assert looks.p(("a", "other"), "full", 3, 0.001, 0.5) == pytest.approx(0.008, rel=1e-6)
    assert looks.quantile("a", "full", 3) > looks.quantile("a", "full", 6) > 0.95
    assert (
        looks.p(("b", "all"), "a", 3, 0.001, 0.5) == pytest.approx(0.008)
        and looks.p(("b", "all"), "c", 3, 0.1, 1) == 0.1
    )


@pytest.mark.long
def test_simulated_tables_keep_their_error_rates_although_they_are_looked_at_often():
    alike = TableWorld("", rows=6, seeds=8, families=1, videos=300, seed=0.08, fold=10)
    _, result = simulated(alike, 40, {"until decided": (FIRST, 8, True), "at 5 % each": (FIRST, 8, False)})
    assert np.mean(result["until decided"].false) <= 0.05 < np.mean(result["at 5 % each"].false)
    apart = TableWorld("", rows=4, seeds=8, families=1, videos=1500, seed=0.03, effects=(0.0, 0.7, 0.14))
    effects, result = simulated(apart, 30, {"until decided": (FIRST, 8, True)})
    words, seeds = np.array(result["until decided"].words), np.array(result["until decided"].seeds)
    assert effects[2] >= 0.02 and (words[:, 2] == Word.SAME).mean() <= 0.1  # three of thirty
    assert (words[:, 1] == Word.BETTER).mean() > 0.9 and (words[:, 0] == Word.SAME).mean() > 0.3
    assert seeds[:, 2].mean() < 5 < seeds[:, 1].mean() and (seeds[:, 0] >= seeds[:, 1:].max(axis=1)).all()


def test_what_rows_say_of_seeds_counts_by_how_many_they_have():
    few, many = (0.60, 0.66, 0.72), (0.60, 0.61, 0.62, 0.63, 0.60, 0.61, 0.62, 0.63, 0.6)
    rare, common = seed_prior([row(*few), row(*few), row(*many)]), seed_prior([row(*few), row(*many), row(*many)])
    assert rare.most == 12 and common.most == 18 and common.dispersion < 0.7 * rare.dispersion
    answers = row(*many)
    variance, freedom = common.moderated(answers)
    assert freedom == pytest.approx(8 + common.freedom) and variance < 2 * answers.means.var(ddof=1)


@pytest.fixture
def looked(runs):
    """Three seeds of two experiments, of which a sweep has said that they are not distinguishable."""
    for seed in range(3):
        for name, right in (("full", GOOD), ("worse", BAD)):
            answers = with_likelihoods(rows(right), np.linspace(-1.0, -0.1, 80) * (1 + (name == "worse") + seed / 9))
            write_run(runs, name, seed, answers, settings=config(seed, local_encoding=name))
    seen = {
        score: ScoreLook(-0.001, -0.01, 0.01, 0.9, 1.0, Word.SAME) for score in ("all", "colour", "count", "test/loss")
    }
    (runs / "sweeps/.locks").mkdir(parents=True)  # as every sweep has it
    looks = {"worse": RowLook(1, (0, 1, 2), (0, 1, 2), 0.016, 4.5, 4.5, seen)}
    Decisions("full", {"full": "a", "worse": "b"}, 2.0, 12, looks, 1).write(runs / "sweeps/table")
    return runs


def test_what_a_sweep_decided_is_said_and_no_other_question_is_looked_at_at_5_percent(looked, compared, refused):
    text = compared(looked)
    assert "-0.1 [-1.0, +1.0] | 1.000 | not distinguishable |" in line(text, "| worse")
    assert "- worse: not distinguishable at look 1, with 3 seeds: p > 0.016 against 0.0008, difference" in text
    naive = compared(looked, "--scores", "count")  # no question of the sweep's, which looked nevertheless
    assert "when rows were decided" not in naive and "-75.0 [-98.9," in line(naive, "| worse")
    write_run(looked, "other", 0, rows(BAD), settings=config(0, local_encoding="other"))
    other = compared(looked / "full", looked / "other", "--scores", "all")  # of which the sweep knows one alone
    assert "| too few data (one seed) |" in line(other, "| other") and "p is corrected for looks at 3 to 12" in other
    (looked / "other/seed_0/summary.json").unlink()
    (likely,) = (line(rest, "| all ") for rest in [text[text.index("| log-likelihood") :]])
    (looked / "sweeps/table/looks.json").unlink()
    alone = compared(looked, "--scores", "count")
    assert "-75.0 [-89.2, -60.8]" in line(alone, "| worse")  # 95 % of one look
    unlooked = compared(looked)
    assert line(unlooked[unlooked.index("| log-likelihood") :], "| all ") != likely
    assert read(looked / "sweeps/table") is None


def test_a_record_that_is_none_is_named(looked, refused):
    path = looked / "sweeps/table/looks.json"
    content = json.loads(path.read_text())
    for wrong in ("{", "[]", json.dumps(content | {"rows": {"worse": {}}}), json.dumps(content | {"most": "many"})):
        path.write_text(wrong)
        assert f"{path} is not a record of a sweep's decisions: " in refused(looked)

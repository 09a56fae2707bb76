"""Statistics of a comparison: against scipy, against known cases, and in simulated worlds whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import difference, holm, over_seeds_only, randomisation_p, score
from lightning_modules.scoring.interval import Z, clustered_mean
from tests.ablation.comparing.simulated import World, rates, score_coverage, tables_with_a_verdict


def answers(*seeds, videos=None):
    right = np.array(seeds, dtype=int)
    return Answers(right, np.arange(right.shape[1]) if videos is None else np.asarray(videos))


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (5, 0), (9, 2), (30, 31), (100, 60)])
def test_with_one_question_per_video_it_is_mcnemars_exact_test(won, lost):
    n = won + lost
    tail = sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n
    assert randomisation_p([1] * won + [-1] * lost + [0] * 50) == pytest.approx(min(1.0, 2 * tail))
    if n:
        assert randomisation_p([1] * won + [-1] * lost) == pytest.approx(stats.binomtest(won, n).pvalue)


def test_all_signs_are_counted():
    # 3, 1, 1 with any signs: the sum is at least 5 in 2 of 8 cases, in size.
    assert randomisation_p([3, 1, 1]) == pytest.approx(2 / 8)
    assert randomisation_p([6, 2, 2]) == pytest.approx(2 / 8)
    assert randomisation_p([3, 1, -1]) == pytest.approx(6 / 8)
    assert randomisation_p([]) == randomisation_p([2, -2]) == 1.0


def test_ten_questions_about_one_video_are_not_ten_videos():
    together, apart = randomisation_p([10]), randomisation_p([1] * 10)
    assert together == 1.0 and apart < 0.01


def test_holm_of_a_known_case():
    values = [0.01, 0.04, 0.03, 0.005]
    assert holm(values, [1] * 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # One test with half of the weight is judged as if there were two.
    assert holm([0.02, 0.5, 0.5, 0.5], [3, 1, 1, 1])[0] == pytest.approx(0.04)


def test_over_questions_it_is_the_cluster_robust_interval_but_for_t_and_two_more_questions():
    rng = np.random.default_rng(0)
    videos = np.repeat(np.arange(100), 20)
    ours, base = ((rng.random((1, 2000)) < share).astype(int) for share in (0.7, 0.6))
    estimate = difference(Answers(ours, videos), Answers(base, videos))
    usual = clustered_mean((ours - base)[0].tolist(), videos.tolist(), -1, 1)
    ratio = (estimate.interval.high - estimate.interval.low) / (usual.high - usual.low)
    assert estimate.interval.value == pytest.approx(usual.value)
    assert ratio == pytest.approx(stats.t.ppf(0.975, 99) / Z, rel=2e-3)


def test_seeds_that_differ_widen_it_and_seeds_that_do_not_narrow_it():
    rng = np.random.default_rng(0)
    same = (rng.random((3, 2000)) < 0.7).astype(int)
    apart = np.stack([(rng.random(2000) < share).astype(int) for share in (0.6, 0.7, 0.8)])
    one, three, spread = (difference(answers(*right), answers(*right[:, ::-1])) for right in (same[:1], same, apart))
    width = [estimate.interval.high - estimate.interval.low for estimate in (one, three, spread)]
    assert width[1] < width[0] < width[2] / 3
    assert (one.over_seeds, three.over_seeds) == (False, True)
    assert spread.variance.freedom < 5 < three.variance.freedom


def test_the_chance_of_single_answers_is_counted_once():
    """Seeds that differ by chance alone must not be taken for seeds that differ."""
    rng = np.random.default_rng(0)
    estimates = [difference(*World(500, 1, (6, 6)).answers(rng)) for _ in range(300)]
    seen = np.var([result.interval.value for result in estimates])
    assert 0.9 < np.mean([result.variance.total for result in estimates]) / seen < 1.45


def test_runs_that_agree_everywhere_are_not_surely_equal():
    right = answers([1, 0] * 10)
    estimate = difference(right, right)
    assert estimate.p == 1.0 and estimate.interval.low < -0.05 and estimate.interval.high > 0.05


def test_of_one_video_nothing_is_known():
    ours, base = answers([1] * 8, videos=[0] * 8), answers([0] * 8, videos=[0] * 8)
    for pair in ((ours, base), (answers(*[[1] * 8] * 3, videos=[0] * 8), answers(*[[0] * 8] * 3, videos=[0] * 8))):
        estimate = difference(*pair)
        assert (estimate.interval.low, estimate.interval.high, estimate.p) == (-1.0, 1.0, 1.0)
    estimate = score(answers([1, 1, 0, 0], videos=[0] * 4)).interval
    assert estimate.low < 0.05 and estimate.high > 0.95


def test_a_few_videos_that_differ_are_never_enough_over_seeds():
    base = np.zeros((3, 500), dtype=int)
    ours = base.copy()
    ours[:, :5] = 1
    estimate = difference(answers(*ours), answers(*base))
    assert estimate.changed == 5 and estimate.p >= 2 / 2**5


def test_a_score_has_a_width_where_all_are_right():
    estimate = score(answers([1] * 40, [1] * 40)).interval
    assert estimate.low < 0.95 and estimate.high == 1.0


def test_averaged_attempts_count_as_their_mean():
    twice, once = Answers(np.array([[2, 1, 0, 1]]), np.arange(4), full=2), answers([1, 0, 0, 0])
    estimate = difference(twice, once)
    assert score(twice).interval.value == 0.5 and estimate.interval.value == 0.25
    assert estimate.p == pytest.approx(0.5)  # two videos gained half a question: 2 of 4 signs


def test_a_figure_of_seeds_is_compared_by_welch():
    ours, base = [0.31, 0.35, 0.33], [0.41, 0.40, 0.46, 0.44]
    estimate = over_seeds_only(ours, base)
    theirs = stats.ttest_ind(ours, base, equal_var=False)
    assert estimate.p == pytest.approx(theirs.pvalue)
    bounds = theirs.confidence_interval()
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((bounds.low, bounds.high))
    assert over_seeds_only([0.3], [0.4, 0.5]) is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("world", "least"),
    [
        (World(), 0.93),
        (World(seeds=(3, 3), seed=0.15), 0.93),
        (World(videos=2000, questions=1), 0.93),
        (World(videos=20, seeds=(2, 3), seed=0.3), 0.93),
    ],
    ids=["one seed", "three seeds", "one question per video", "few videos and seeds"],
)
def test_the_truth_is_in_95_of_100_intervals_and_nothing_is_found_where_there_is_nothing(world, least):
    covered, small = rates(world, 400)
    assert covered >= least and small <= 0.075
    covered, _ = rates(replace(world, effect=0.4), 400)
    assert covered >= least


def test_an_effect_that_is_there_is_found():
    assert rates(World(effect=0.5), 50)[1] == 1.0
    assert rates(World(seeds=(5, 5), seed=0.1, effect=0.6), 50)[1] > 0.9


def test_ignoring_that_seeds_differ_finds_what_is_not_there():
    """Why one seed is said to be over questions only: the interval knows nothing of trainings."""
    assert rates(World(seeds=(1, 1), seed=0.3), 200)[1] > 0.2


@pytest.mark.long
def test_whole_tables_without_any_effect_seldom_say_anything():
    assert tables_with_a_verdict(World(videos=60, seeds=(1,) * 5), 60) <= 0.1
    assert tables_with_a_verdict(World(videos=60, seeds=(3,) * 4, seed=0.15), 40) <= 0.1


def test_the_truth_is_in_95_of_100_intervals_of_a_score():
    assert score_coverage(World(seeds=(3, 3), seed=0.3), 300) >= 0.92
    assert score_coverage(World(videos=60), 300) >= 0.92

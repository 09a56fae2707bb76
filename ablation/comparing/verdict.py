"""Plain words for a difference: better, worse, not distinguishable, or too few data and how many it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import Estimate
from ablation.comparing.moderation import ALONE, SeedPrior
from lightning_modules.scoring.unit import Unit

LEVEL = 0.05  # of the whole table
POWER = 0.8  # chance of seeing what is there, for which numbers of questions and seeds are given
_MOST_SEEDS = 100


class Word(StrEnum):
    """What a difference is called."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "not distinguishable"
    TOO_FEW = "too few data"


@dataclass(frozen=True)
class Verdict:
    """What is said of a difference.

    Attributes:
        word: it in short.
        needed: what would be needed to see it, or the smallest that matters; empty where nothing is needed.
    """

    word: Word
    needed: str = ""


def verdict(estimate: Estimate, corrected: float, smallest: float, higher_is_better: bool = True) -> Verdict | None:
    """Return what to say of a difference; None where `needed_...` must say how much more is needed.

    - better or worse: the corrected p value is at most 0.05;
    - not distinguishable: it is larger, and the whole interval is nearer to zero than the smallest difference that
      matters, which is therefore ruled out (more strictly than two one-sided tests at 5 % would: Schuirmann, Journal of
      Pharmacokinetics and Biopharmaceutics 15, 1987). There must be so many videos that a difference in that share of
      them would show in one at least (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983).

    Args:
        estimate: of the difference.
        corrected: p value among all tests.
        smallest: difference that matters.
        higher_is_better: whether more is better.
    """
    if corrected <= LEVEL:
        return Verdict(Word.BETTER if (estimate.interval.value > 0) == higher_is_better else Word.WORSE)
    enough = estimate.variance.videos_freedom + 1 >= _videos_for(smallest)
    if enough and max(-estimate.interval.low, estimate.interval.high) < smallest:
        return Verdict(Word.SAME)
    return None


def too_few(
    estimate: Estimate,
    ours: Answers,
    base: Answers,
    smallest: float,
    share: float,
    unit: Unit,
    prior: SeedPrior = ALONE,
) -> Verdict:
    """Return the verdict of too few data, with the questions or seeds that would show the difference found.

    That many show it, or the smallest one that matters if that is larger, with a chance of 80 %, at this test's share
    of 0.05 (Bonferroni, a little more than Holm asks); more questions are about as many more videos. The usual formula
    for a difference of means: variance is to be at most the square of (difference / (t quantile of the level + t
    quantile of the power)); that of videos goes down with their number, and that of seeds with theirs.

    Args:
        estimate: of the difference.
        ours: answers of the experiment.
        base: of the baseline.
        smallest: difference that matters.
        share: of the 5 % that the test has among all.
        unit: in which differences are said.
        prior: what the table says of seeds, the same as of the estimate.
    """
    size = max(abs(estimate.interval.value), smallest)
    questions, level = ours.marks.shape[1], LEVEL * share
    points = f"to see {unit.value(size)} points"
    variance = estimate.variance
    allowed = _allowed(size, level, math.inf)
    seeds_share = 0.5 if variance.seeds > 0 and variance.videos > 0.5 * allowed else 0.0
    more_questions = variance.videos > (1 - seeds_share) * allowed
    parts = []
    if more_questions or not variance.seeds:
        least = questions * _videos_for(smallest) / (variance.videos_freedom + 1)
        wanted = max(questions * variance.videos / ((1 - seeds_share) * allowed), least, questions + 1)
        parts.append(f"{_round_up(wanted):,} questions")
    if variance.seeds:
        now = 2 / (1 / ours.seeds + 1 / base.seeds)
        left = variance.videos if not more_questions else None
        needed = next(
            (
                seeds
                for seeds in range(max(ours.seeds, base.seeds) + 1, _MOST_SEEDS + 1)
                for limit in [_allowed(size, level, prior.freedom_of(seeds))]
                if variance.seeds * now / seeds <= (limit / 2 if left is None else limit - left)
            ),
            None,
        )
        parts.append(f"{needed} seeds each" if needed else f"more than {_MOST_SEEDS} seeds each")
    return Verdict(Word.TOO_FEW, f"about {' and '.join(parts)} {points}")


def _videos_for(smallest: float) -> float:
    """Return of how many videos a share this small is missed altogether in 2.5 of 100 cases."""
    return math.log(0.025) / math.log(1 - smallest) if smallest > 0 else math.inf


def _allowed(size: float, level: float, freedom: float) -> float:
    """Return the variance at which a difference of this size is seen."""
    return float((size / stats.t.ppf([1 - level / 2, POWER], freedom).sum()) ** 2)


def _round_up(number: float) -> int:
    """Return a number with two digits that count, so that it does not look exact."""
    unit = int(10 ** max(0, math.floor(math.log10(max(number, 1))) - 1))
    return math.ceil(number / unit) * unit

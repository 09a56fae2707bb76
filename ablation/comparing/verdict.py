"""Verdicts on a difference: better, worse, not distinguishable, or too few data, with the number that would suffice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

from ablation.comparing.answers import Answers
from ablation.comparing.certainty import Estimate
from ablation.comparing.moderation import ALONE, SeedPrior
from lightning_modules.scoring.metrics import Unit

LEVEL = 0.05  # familywise error rate of a table
POWER = 0.8  # power that required numbers of questions and seeds are computed for
_MOST_SEEDS = 100


class Word(StrEnum):
    """The verdict in words."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "not distinguishable"
    TOO_FEW = "too few data"


@dataclass(frozen=True)
class Verdict:
    """A verdict on a difference.

    Attributes:
        word: verdict in words.
        needed: numbers of questions and seeds that would decide it, as text; empty if it is decided.
    """

    word: Word
    needed: str = ""


def verdict(estimate: Estimate, corrected: float, smallest: float, higher_is_better: bool = True) -> Verdict | None:
    """Return the verdict on a difference; None if there are too few data, see `too_few`.

    - better or worse: the corrected p value is at most 0.05;
    - not distinguishable: it is larger, and the whole interval is nearer to zero than the smallest difference that
      matters, which is therefore ruled out (more strictly than by two one-sided tests at 5 %: Schuirmann, Journal of
      Pharmacokinetics and Biopharmaceutics 15, 1987). There must be enough videos that a difference in that share of
      them would be seen in at least one (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983).

    Args:
        estimate: estimate of the difference.
        corrected: p value, corrected for all tests.
        smallest: smallest difference that matters, as a share.
        higher_is_better: whether a higher figure is better.
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
    """Return the verdict of too few data, with the questions or seeds that would be needed to detect the difference.

    They detect the observed difference, or the smallest that matters if that is larger, with a power of 80 % at this
    test's share of 0.05 (Bonferroni, slightly stricter than Holm), if the number of videos grows with the questions.
    This is the usual formula for a difference of means: the variance must be at most the square of (difference /
    (t quantile of the level + t quantile of the power)); the component of videos decreases with their number, and that
    of seeds with theirs.

    Args:
        estimate: estimate of the difference.
        ours: answers of the experiment.
        base: answers of the baseline.
        smallest: smallest difference that matters, as a share.
        share: share of the 5 % for this test.
        unit: unit in which differences are shown.
        prior: prior of the variance between seeds, the same as for the estimate.
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
    """Return the number of videos in which a share this small is not seen at all with a probability of 2.5 %."""
    return math.log(0.025) / math.log(1 - smallest) if smallest > 0 else math.inf


def _allowed(size: float, level: float, freedom: float) -> float:
    """Return the largest variance with which a difference of this size is detected with the `POWER`."""
    return float((size / stats.t.ppf([1 - level / 2, POWER], freedom).sum()) ** 2)


def _round_up(number: float) -> int:
    """Round up to two significant digits, so that an estimate does not look exact."""
    unit = int(10 ** max(0, math.floor(math.log10(max(number, 1))) - 1))
    return math.ceil(number / unit) * unit

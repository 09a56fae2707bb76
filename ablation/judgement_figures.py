"""What judgements come to: accuracy, score and coverage in the name of the judge; and what looks wrong in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ablation.judgements import JudgedAnswer
from components.judges.base import BEST_SCORE
from lightning_modules.clusters import clustered_mean, clustered_share
from lightning_modules.interval import Interval

ENOUGH = 20  # answers that are unlikely to be all right, or all wrong


def clusters(judged: Sequence[JudgedAnswer]) -> tuple[str, list[str]]:
    """Return what answers are grouped by, and the group of each: videos if all answers name theirs, else questions."""
    if all(each.video is not None for each in judged):
        return "video", [str(each.video) for each in judged]
    return "question", [each.id for each in judged]


def figures(label: str, judged: Sequence[JudgedAnswer]) -> list[str]:
    """Return the lines that say how good the answers are according to the judge, for each aspect.

    Args:
        label: name of the judge.
        judged: all answers, judged or not.
    """
    lines = []
    for aspect in dict.fromkeys(each.aspect for each in judged):
        lines += _figures(label, [each for each in judged if each.aspect == aspect], aspect)
    return [*lines, f"95 % intervals, clustered by {clusters(judged)[0]}"]


def warnings(judged: Sequence[JudgedAnswer]) -> list[str]:
    """Return what looks wrong about the judge or the answers."""
    said = []
    for aspect in dict.fromkeys(each.aspect for each in judged):
        group = [each for each in judged if each.aspect == aspect and each.unjudged is None]
        if len(group) < ENOUGH:
            continue
        verdicts = {each.right for each in group}
        scores = {each.score for each in group}
        if aspect is None and len(verdicts) == 1:
            word = "yes" if verdicts == {True} else "no"
            said.append(f"the judge says {word} to every one of {len(group)} answers")
        elif aspect is not None and len(scores) == 1:
            said.append(f"the judge gives every one of {len(group)} answers the score {scores.pop():g} for {aspect}")
    return [f"warning: {line}: read some of its replies before you believe it" for line in said]


def _figures(label: str, group: Sequence[JudgedAnswer], aspect: str | None) -> list[str]:
    metric = f"/{label}" if aspect is None else f"/{aspect}/{label}"
    judged = [each for each in group if each.unjudged is None]
    lines = []
    if judged and aspect is None:
        share = clustered_share([bool(each.right) for each in judged], clusters(judged)[1])
        lines.append(f"accuracy{metric}: {percent(share)} of {len(judged)} judged answers")
        share = clustered_share([bool(each.right) for each in group], clusters(group)[1])
        lines.append(f"accuracy_of_all{metric}: {percent(share)} of {len(group)} answers; unjudged ones are not right")
    scored = [each for each in judged if each.score is not None]
    if scored:
        mean = clustered_mean([each.score or 0.0 for each in scored], clusters(scored)[1], 0, BEST_SCORE)
        lines.append(
            f"score{metric}: {mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}] of {len(scored)} judged answers"
        )
    lines.append(f"coverage{metric}: {100 * len(judged) / len(group):.1f} % ({len(judged)} of {len(group)} judged)")
    reasons = Counter(each.unjudged for each in group if each.unjudged is not None)
    return lines + [f"  unjudged: {count} x {reason}" for reason, count in reasons.most_common(5)]


def percent(share: Interval) -> str:
    """Return a share and its interval as text."""
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"

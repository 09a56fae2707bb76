"""What judgements come to: accuracy, score and coverage in the name of the judge, kept with the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablation.judging.judge import BEST_SCORE, JudgeIdentity
from ablation.judging.judgements import JudgedAnswer, naming
from components.files import read_object, write_whole
from lightning_modules.config.user_errors import errors_of_threads
from lightning_modules.runs.checkout import utc_now
from lightning_modules.runs.folder import ANSWERS
from lightning_modules.scoring.answer_store import AnswerStore
from lightning_modules.scoring.interval import Interval, clustered_mean, clustered_share

_OF = {
    "accuracy": "of {score.judged} judged answers",
    "accuracy_of_all": "of {score.answers} answers; unjudged ones are not right",
    "score": "of {score.judged} judged answers",
    "coverage": "({score.judged} of {score.answers} judged)",
}
ENOUGH = 20  # answers that are unlikely to be all right, or all wrong


def clusters(judged: Sequence[JudgedAnswer]) -> tuple[str, list[str]]:
    """Return what answers are grouped by, and the group of each: videos if all answers name theirs, else questions."""
    if all(each.video is not None for each in judged):
        return "video", [str(each.video) for each in judged]
    return "question", [each.id for each in judged]


def figures(label: str, judged: Sequence[JudgedAnswer]) -> list[str]:
    """Return the lines that say how good the answers are according to the judge, for each aspect and family.

    Args:
        label: name of the judge.
        judged: all answers, judged or not.
    """
    lines = []
    for name, score in scores(label, judged).items():
        kind = name.partition("/")[0]
        shown = f"{score.value:.2f}" if kind == "score" else f"{100 * score.value:.1f} %"
        if score.interval is not None:
            low, high = score.interval.low, score.interval.high
            shown = f"{shown} [{low:.2f}, {high:.2f}]" if kind == "score" else percent(score.interval)
        lines.append(f"{name}: {shown} {_OF[kind].format(score=score)}")
    reasons = Counter(each.unjudged for each in judged if each.unjudged is not None)
    lines += [f"  unjudged: {count} x {reason}" for reason, count in reasons.most_common(5)]
    return [*lines, f"95 % intervals, clustered by {clusters(judged)[0]}"]


@dataclass(frozen=True)
class JudgedScore:
    """A figure of a judge.

    Attributes:
        value: share of 0 to 1, or mean score.
        interval: 95 %, clustered by video; None where there is none.
        judged: answers that were judged.
        answers: all answers.
    """

    value: float
    interval: Interval | None
    judged: int
    answers: int


def scores(label: str, judged: Sequence[JudgedAnswer]) -> dict[str, JudgedScore]:
    """Return the figures of the judge by name, those of every family of questions too where there are several.

    Args:
        label: name of the judge, which ends every name.
        judged: all answers, judged or not.
    """
    found: dict[str, JudgedScore] = {}
    for aspect in dict.fromkeys(each.aspect for each in judged):
        of_aspect = [each for each in judged if each.aspect == aspect]
        found |= _scores(label, of_aspect, aspect)
        families = sorted({each.family for each in of_aspect if each.family is not None})
        for family in families if len(families) > 1 else []:
            group = [each for each in of_aspect if each.family == family]
            found |= _scores(f"{family}/{label}", group, aspect)
    return found


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


def _scores(label: str, group: Sequence[JudgedAnswer], aspect: str | None) -> dict[str, JudgedScore]:
    metric = f"/{label}" if aspect is None else f"/{aspect}/{label}"
    judged = [each for each in group if each.unjudged is None]
    found: dict[str, JudgedScore] = {}

    def add(name: str, interval: Interval, answers: Sequence[JudgedAnswer]) -> None:
        found[f"{name}{metric}"] = JudgedScore(interval.value, interval, len(answers), len(group))

    if judged and aspect is None:
        add("accuracy", clustered_share([bool(each.right) for each in judged], clusters(judged)[1]), judged)
        add("accuracy_of_all", clustered_share([bool(each.right) for each in group], clusters(group)[1]), judged)
    scored = [each for each in judged if each.score is not None]
    if scored:
        values = [each.score or 0.0 for each in scored]
        add("score", clustered_mean(values, clusters(scored)[1], 0, BEST_SCORE), scored)
    found[f"coverage{metric}"] = JudgedScore(len(judged) / len(group), None, len(judged), len(group))
    return found


def percent(share: Interval) -> str:
    """Return a share and its interval as text."""
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def keep_scores(
    judgements: Path,
    answers: Path,
    identity: JudgeIdentity,
    models: Sequence[str],
    judged: Sequence[JudgedAnswer],
    scores: Mapping[str, JudgedScore],
) -> Path:
    """Write the figures beside the judgements' folder, and into TensorBoard if the answers are those of a run.

    There they are `judged/<name>`, with the bounds of their intervals as `judged_interval/<name>/low` and `/high`.

    Args:
        judgements: their file.
        answers: file of the answers.
        identity: of the judge.
        models: that answered under its name.
        judged: the answers.
        scores: what they come to.

    Returns:
        The file.

    Raises:
        ValueError: it cannot be written, as on a full disk.
    """
    content = {
        "scores": {name: asdict(score) for name, score in scores.items()},
        "intervals": f"95 % intervals, clustered by {clusters(judged)[0]}",
        "provenance": {
            "judge": {**asdict(identity), "label": identity.label, "hash": identity.hash},
            "answered_by": list(models),
            "answers": str(answers),
            "judged": utc_now(),
            "test": _provenance_of(answers),
        },
    }
    folder = judgements.parent
    file = folder.with_name(f"{folder.name}.{judgements.stem}.scores.json")
    with naming(file):
        write_whole(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        if answers.parent.name == ANSWERS:
            _log(answers.parent.parent, scores)
    return file


def _provenance_of(answers: Path) -> Any:
    """Return where the answers come from, as their test has written it; None where it has not."""
    try:
        return read_object(AnswerStore(answers.parent, answers.stem).scores).get("provenance")
    except (OSError, ValueError):
        return None


def _log(run: Path, scores: Mapping[str, JudgedScore]) -> None:
    from torch.utils.tensorboard import SummaryWriter  # here, since it imports torch

    with errors_of_threads(), SummaryWriter(run) as writer:
        for name, score in scores.items():
            writer.add_scalar(f"judged/{name}", score.value)
            if score.interval is not None:
                writer.add_scalar(f"judged_interval/{name}/low", score.interval.low)
                writer.add_scalar(f"judged_interval/{name}/high", score.interval.high)

"""Figures from judgements: accuracy, score and coverage, labelled with the judge and stored with the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablation.judging.judge import BEST_SCORE, JudgeIdentity
from ablation.judging.judgements import JudgedAnswer, write_errors
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
ENOUGH = 20  # number of answers that are unlikely to be all right, or all wrong


def clusters(judged: Sequence[JudgedAnswer]) -> tuple[str, list[str]]:
    """Return the kind of clusters and the cluster of each answer: videos if all answers name theirs, else questions."""
    if all(answer.video is not None for answer in judged):
        return "video", [str(answer.video) for answer in judged]
    return "question", [answer.id for answer in judged]


def figures(label: str, judged: Sequence[JudgedAnswer]) -> list[str]:
    """Return lines with the judge's figures of the answers, for each aspect and family.

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
    reasons = Counter(answer.unjudged for answer in judged if answer.unjudged is not None)
    lines += [f"  unjudged: {count} x {reason}" for reason, count in reasons.most_common(5)]
    return [*lines, f"95 % intervals, clustered by {clusters(judged)[0]}"]


@dataclass(frozen=True)
class JudgedScore:
    """A figure from the judgements of a judge.

    Attributes:
        value: share from 0 to 1, or mean score.
        interval: 95 % interval, clustered by video; None for a coverage.
        judged: number of judged answers.
        answers: number of all answers.
    """

    value: float
    interval: Interval | None
    judged: int
    answers: int


def scores(label: str, judged: Sequence[JudgedAnswer]) -> dict[str, JudgedScore]:
    """Return the judge's figures by name, including those of every family of questions if there are several.

    Args:
        label: name of the judge, the last part of every figure's name.
        judged: all answers, judged or not.
    """
    figures: dict[str, JudgedScore] = {}
    for aspect in dict.fromkeys(answer.aspect for answer in judged):
        of_aspect = [answer for answer in judged if answer.aspect == aspect]
        figures |= _scores(label, of_aspect, aspect)
        families = sorted({answer.family for answer in of_aspect if answer.family is not None})
        for family in families if len(families) > 1 else []:
            group = [answer for answer in of_aspect if answer.family == family]
            figures |= _scores(f"{family}/{label}", group, aspect)
    return figures


def warnings(judged: Sequence[JudgedAnswer]) -> list[str]:
    """Return warnings about a judge that gives the same judgement to all answers."""
    lines = []
    for aspect in dict.fromkeys(answer.aspect for answer in judged):
        group = [answer for answer in judged if answer.aspect == aspect and answer.unjudged is None]
        if len(group) < ENOUGH:
            continue
        verdicts = {answer.right for answer in group}
        scores = {answer.score for answer in group}
        if aspect is None and len(verdicts) == 1:
            word = "yes" if verdicts == {True} else "no"
            lines.append(f"the judge says {word} to every one of {len(group)} answers")
        elif aspect is not None and len(scores) == 1:
            lines.append(f"the judge gives every one of {len(group)} answers the score {scores.pop():g} for {aspect}")
    return [f"warning: {line}: read some of its replies before you believe it" for line in lines]


def _scores(label: str, group: Sequence[JudgedAnswer], aspect: str | None) -> dict[str, JudgedScore]:
    metric = f"/{label}" if aspect is None else f"/{aspect}/{label}"
    judged = [answer for answer in group if answer.unjudged is None]
    figures: dict[str, JudgedScore] = {}

    def add(name: str, interval: Interval, answers: Sequence[JudgedAnswer]) -> None:
        figures[f"{name}{metric}"] = JudgedScore(interval.value, interval, len(answers), len(group))

    if judged and aspect is None:
        add("accuracy", clustered_share([bool(answer.right) for answer in judged], clusters(judged)[1]), judged)
        add("accuracy_of_all", clustered_share([bool(answer.right) for answer in group], clusters(group)[1]), judged)
    scored = [answer for answer in judged if answer.score is not None]
    if scored:
        values = [answer.score or 0.0 for answer in scored]
        add("score", clustered_mean(values, clusters(scored)[1], 0, BEST_SCORE), scored)
    figures[f"coverage{metric}"] = JudgedScore(len(judged) / len(group), None, len(judged), len(group))
    return figures


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
    """Write the figures beside the folder of judgements, and into TensorBoard if the answers are those of a run.

    TensorBoard has them as `judged/<name>`, with bounds as `judged_interval/<name>/low` and `/high`.

    Args:
        judgements: file of the judgements.
        answers: file of the answers.
        identity: identity of the judge.
        models: names of the models that answered for the judge.
        judged: judged answers.
        scores: figures by name.

    Returns:
        The written file.

    Raises:
        ValueError: the file cannot be written, as on a full disk.
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
    with write_errors(file):
        write_whole(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        if answers.parent.name == ANSWERS:
            _log(answers.parent.parent, scores)
    return file


def _provenance_of(answers: Path) -> Any:
    """Return the provenance of the answers, if their test has written it."""
    try:
        return read_object(AnswerStore(answers.parent, answers.stem).scores).get("provenance")
    except (OSError, ValueError):
        return None


def _log(run: Path, scores: Mapping[str, JudgedScore]) -> None:
    from torch.utils.tensorboard import SummaryWriter  # imported here, since it imports torch

    with errors_of_threads(), SummaryWriter(run) as writer:
        for name, score in scores.items():
            writer.add_scalar(f"judged/{name}", score.value)
            if score.interval is not None:
                writer.add_scalar(f"judged_interval/{name}/low", score.interval.low)
                writer.add_scalar(f"judged_interval/{name}/high", score.interval.high)

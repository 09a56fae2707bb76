"""The figures of a judge, kept where those of the run are: in a file, and in TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ablation.judgement_cache import naming
from ablation.judgement_figures import JudgedScore, clusters
from ablation.judgements import JudgedAnswer
from components.judges import JudgeIdentity
from components.whole_file import write_whole
from lightning_modules.config.user_errors import errors_of_threads
from lightning_modules.runs.provenance import utc_now


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
        if answers.parent.name == "answers":
            _log(answers.parent.parent, scores)
    return file


def _provenance_of(answers: Path) -> Any:
    """Return where the answers come from, as their test has written it; None where it has not."""
    file = answers.with_name(f"{answers.stem}_scores.json")
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("provenance")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _log(run: Path, scores: Mapping[str, JudgedScore]) -> None:
    with errors_of_threads(), SummaryWriter(run) as writer:
        for name, score in scores.items():
            writer.add_scalar(f"judged/{name}", score.value)
            if score.interval is not None:
                writer.add_scalar(f"judged_interval/{name}/low", score.interval.low)
                writer.add_scalar(f"judged_interval/{name}/high", score.interval.high)

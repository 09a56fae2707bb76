"""How to get what a table lacks: the commands that test and judge."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablation.reproducing.answers import RowAnswers
from ablation.reproducing.column import Asked
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.folder import CONFIG, LAST_CHECKPOINT


def tests(answers: Mapping[Asked, Sequence[RowAnswers]]) -> list[str]:
    """Return a command for each training that was not tested on all benchmarks of the table."""
    files: dict[Path, list[Path]] = {}
    for column, rows in answers.items():
        for row in rows:
            for seed, folder in row.trained.folders.items():
                if seed not in row.tested and "not tested" in row.missing:
                    wanted = files.setdefault(folder, [])
                    wanted += [column.benchmark.file] if column.benchmark.file not in wanted else []
    return [
        as_typed(
            [
                *("python", "-m", "lightning", "test", f"--config={folder / CONFIG}"),
                *(f"--config={file}" for file in wanted),
                f"--ckpt_path={folder / LAST_CHECKPOINT}",
            ]
        )
        + " --data.root=FOLDER"
        for folder, wanted in files.items()
    ]


def judgements(answers: Mapping[Asked, Sequence[RowAnswers]]) -> list[str]:
    """Return what is to be judged, as one command, if anything is not judged."""
    columns = [column for column, rows in answers.items() if any("not judged" in row.missing for row in rows)]
    if not columns:
        return []
    words = ["--judge", "ServerJudge", f"--judge.model={columns[0].benchmark.judge}"]
    return [f"video-panda judge RUN {shlex.join(words)} --judge.base_url=URL"]

"""Where a job stands, by its run folder: finished, to be continued, or to be begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.chain import checkpoint, is_finished, stage_folder
from ablation.stage_config import kept_config, stage_difference
from ablation.sweep.jobs import Job
from lightning_modules.run_folder import free_folder

# A job of a sweep is to start from the weights that were asked for, and to have test answers if they were.
_COMPARED_TOO = ("init_from", "test_after_fit")


@dataclass(frozen=True)
class Standing:
    """What there is of a job.

    Attributes:
        folder: of its run, also if it is yet to be made.
        finished: whether it is trained to its end.
        checkpoint: to go on from; None if there is none.
    """

    folder: Path
    finished: bool = False
    checkpoint: Path | None = None


def standing(job: Job, config: Mapping[str, Any], runs: Path, begun: Path | None) -> Standing:
    """Return where a job stands.

    Args:
        job: of which the latest run counts that trained at all.
        config: that it is to have.
        runs: folder of all runs.
        begun: run folder that this sweep made for it: what was killed before its first checkpoint is begun anew there.

    Raises:
        ValueError: it was trained with other settings, or it is not known with which.
    """
    folder = stage_folder(runs, job.name, job.seed)
    if folder is None:
        return Standing(begun if begun and begun.is_dir() else free_folder(runs, job.name, job.seed, "fit"))
    changed = stage_difference(kept_config(folder), config, also=_COMPARED_TOO)
    if changed:
        raise ValueError(
            f"{folder} was trained with other settings, there -> in this sweep: {'; '.join(changed)}. Give the "
            f"settings it was trained with to keep it; or, to train anew, another --runs, or move {folder} away"
        )
    return Standing(folder, is_finished(folder), checkpoint(folder))

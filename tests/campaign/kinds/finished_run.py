"""One short training, done once, whose checkpoint and folder the attempts start from."""

from __future__ import annotations

import contextlib
import io
import shutil
from functools import cache
from pathlib import Path

from lightning_modules.experiment_cli import ExperimentCLI

SIZE = (
    "--config=experiments/no_distillation.yaml",
    "--name=campaign",
    "--model.encoder.width=32",
    "--model.language_model=TinyLlama",
    "--model.language_model.width=32",
    "--model.language_model.layers=1",
    "--data.train_clips=4",
    "--data.val_questions_per_family=1",
    "--data.test_questions_per_family=1",
    "--data.turns_per_record=9",
    "--data.batch_size=2",
    "--data.eval_batch_size=8",
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
)


def train(folder: Path, *flags: str) -> Path:
    """Train for a few steps, with clips and runs below a folder; returns the folder of the run."""
    clips = folder / "clips"
    with contextlib.redirect_stdout(io.StringIO()):
        cli = ExperimentCLI(["fit", *SIZE, f"--data.root={clips}", f"--runs={folder / 'runs'}", *flags])
    return cli.folder


@cache
def finished_run(parent: Path) -> Path:
    """Return the folder of a finished run, which is not to be changed."""
    return train(parent / "finished_run", "--trainer.max_steps=2", "--trainer.limit_val_batches=1")


def copied_run(run: Path, folder: Path) -> Path:
    """Copy a run's folder into an attempt's."""
    return shutil.copytree(run, folder / "runs" / run.parent.name / run.name)

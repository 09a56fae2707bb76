"""Training stages in a row, as one command: each starts from the weights of the one before, the last one is tested.

`video-panda chain --config experiments/full.yaml` trains align, integrate and instruct of the paper's Table 6. What was
stopped or killed goes on where it was when the same command is given again; what is finished is not trained again. A
stage that was trained with other settings is neither: it stops the chain.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.attempts import attempts
from ablation.stage_config import asked_config, kept_config, stage_difference
from lightning_modules.provenance import STARTED_BY
from lightning_modules.stage_files import STAGES


class ChainError(ValueError):
    """A stage that did not end well, or was trained with other settings."""


def stage_folder(runs: Path, name: str, seed: int) -> Path | None:
    """Return the folder of the latest run of this name and seed that trained at all."""
    trained = [folder for folder in attempts(runs, name, seed) if is_finished(folder) or checkpoint(folder)]
    return trained[-1] if trained else None


def is_finished(folder: Path) -> bool:
    """Whether the training in `folder` came to its end."""
    return (folder / "summary.json").is_file()


def checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that a run can go on from."""
    files = [folder / "checkpoints" / name for name in ("last.ckpt", "interrupted.ckpt")]
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=None)


def train_stage(arguments: Sequence[str], stage: str) -> int:
    """Run the training of a stage and return its exit status; Ctrl-C is left to it, which saves before it ends."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    environment = {**os.environ, STARTED_BY: f"chain, stage {stage}"}
    try:
        return subprocess.Popen([sys.executable, "-m", "lightning", "fit", *arguments], env=environment).wait()
    finally:
        signal.signal(signal.SIGINT, before)


def chain(
    configs: Sequence[str], stages: Sequence[str], runs: Path, seed: int, settings: Sequence[str] = ()
) -> list[Path]:
    """Train `stages` one after the other, and return their run folders.

    Args:
        configs: config files of all stages: the experiment first.
        stages: config file of each stage; several are joined by `+`, such as a stage and its data.
        runs: folder of all runs; a stage goes to `<experiment>+<stage>`.
        seed: of every stage.
        settings: further arguments of every stage.

    Raises:
        ChainError: a stage did not end well, and the same call goes on from there; or it was trained before with other
            settings than these.
    """
    folders: list[Path] = []
    for stage in stages:
        files = stage.split("+")
        name = f"{Path(configs[0]).stem}+{Path(files[0]).stem}"
        arguments = [f"--config={file}" for file in (*configs, *files)]
        arguments += [f"--name={name}", f"--runs={runs}", f"--seed_everything={seed}"]
        folder = stage_folder(runs, name, seed)
        if folder is not None:
            check_same(folder, [*arguments, *settings])
        if folder is not None and is_finished(folder):
            print(f"{name}: finished in {folder}", flush=True)
            folders.append(folder)
            continue
        start = _start(folder, folders)
        print(f"{name}: {start[0] if start else 'starts'}", flush=True)
        arguments += [f"--test_after_fit={str(stage == stages[-1]).lower()}", *settings, *start]
        status = train_stage(arguments, stage=f"{stages.index(stage) + 1} of {len(stages)}: {name}")
        folder = stage_folder(runs, name, seed)
        if status or folder is None or not is_finished(folder):
            raise ChainError(f"stage {name} did not end well (status {status}); the same command goes on from there")
        folders.append(folder)
    return folders


def check_same(folder: Path, arguments: Sequence[str]) -> None:
    """Compare a stage that was trained before, to its end or not, with what is asked for now.

    Args:
        folder: of its run.
        arguments: of the training that is asked for.

    Raises:
        ChainError: their settings differ, or cannot be read.
    """
    try:
        changed = stage_difference(kept_config(folder), asked_config(arguments))
    except ValueError as error:
        raise ChainError(str(error)) from error
    if changed:
        raise ChainError(
            f"{folder} was trained with other settings, there -> in this call: {'; '.join(changed)}. Give the settings "
            f"it was trained with to keep it; or, to train anew, another --runs, or delete {folder} and later stages"
        )


def _start(folder: Path | None, earlier: Sequence[Path]) -> list[str]:
    if folder is not None:
        return [f"--ckpt_path={checkpoint(folder)}"]
    return [f"--init_from={earlier[-1] / 'checkpoints' / 'last.ckpt'}"] if earlier else []


def main(args: Sequence[str] | None = None) -> None:
    """Read the command line, and train the stages."""
    parser = argparse.ArgumentParser(prog="video-panda chain", description=__doc__)
    parser.add_argument("--config", action="append", required=True, help="config file of all stages; experiment first")
    parser.add_argument(
        "--stages", nargs="+", default=list(STAGES), help="config file of each stage; join several by +"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--seed_everything", type=int, default=0, help="seed of every stage")
    known, settings = parser.parse_known_args(args)
    try:
        chain(known.config, known.stages, known.runs, known.seed_everything, settings)
    except ChainError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

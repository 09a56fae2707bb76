"""`video-panda show RUN`: what a run is, where it comes from, who worked on it, and how it ended.

`samples` are hashes of three small parts of every tensor, which take no time; `sha256` is a hash of all bits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from datamodules.printable import say
from lightning_modules.config.chain import read_config
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.runs.folder import CONFIG, DIFF, HISTORY, LAST_CHECKPOINT, ORIGIN, SUMMARY, is_checkpoint

RUN = "run"  # folder in an exported model, with the records of its run


def main(args: Sequence[str]) -> None:
    """Parse the command line, and print the description of a run."""
    parser = ProgramParser(
        prog="video-panda show", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder, such as runs/full/seed_0, or an exported model")
    with user_errors():
        say("\n".join(shown(parser.parse_args(args).run)))


def shown(folder: Path) -> list[str]:
    """Return the lines that describe a run, or the run of an exported model folder.

    Raises:
        ValueError: the folder is neither, or a file in it is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a run folder: it has no config.yaml")
    exported = (folder / RUN / CONFIG).is_file()
    records = folder / RUN if exported else folder
    works = history(records)
    sections = {
        "origin": _text(records / ORIGIN),
        "history": [line for work in works for line in _work(work)] or ["none was kept"],
        "figures": _figures(records),
        "weights": _weights(records / LAST_CHECKPOINT, works),
        "the same once more": again(records, works),
    }
    lines = [f"{'exported model' if exported else 'run'}  {folder}"]
    for name, content in sections.items():
        lines += ["", name, *(f"  {line}" for line in content or ["none"])]
    return lines


def again(folder: Path, works: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the commands that repeat a run: check out its code, then run its resolved configuration."""
    first: Mapping[str, Any] = works[0] if works else {"work": "fit", "code": None}
    lines = []
    if first["code"]:
        diff = folder / DIFF
        patch = f" && git apply {quote(str(diff.absolute()))}" if diff.is_file() and diff.stat().st_size else ""
        lines.append(f"git checkout {first['code']['commit']}{patch}")
    config = read_config(folder / CONFIG)
    # The configuration of a resumed run names the checkpoint that it resumed from.
    anew = " --ckpt_path=null" if first["work"] == "fit" and config.get("ckpt_path") else ""
    return [*lines, f"python -m lightning {first['work']} --config {quote(str(folder / CONFIG))}{anew}"]


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the work done in a run folder: trainings, tests and so on, each with its end if that was recorded.

    Raises:
        ValueError: the history cannot be read, or a line of it is damaged.
    """
    work: list[dict[str, Any]] = []
    for number, line in enumerate(_text(folder / HISTORY), start=1):
        try:
            entry = json.loads(line)
            if "began" in entry:
                _work(entry)  # raises if a key is missing
                work.append(entry)
            else:
                work[-1] |= {"ended": entry["ended"], "how": entry["how"], "last_step": entry["step"]}
                work[-1] |= {"frozen_sha256": dict(entry.get("frozen_sha256", {}).items())}
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{folder / HISTORY}, line {number} is not one of a history: {error!r}") from None
    return work


def _work(work: Mapping[str, Any]) -> list[str]:
    code = work["code"]
    commit = f"{code['commit'][:12]}{' and changes' if code['changed'] else ''}" if code else "not of a checkout"
    versions = ", ".join(f"{name} {version}" for name, version in work["versions"].items())
    end = (
        f"{work['ended']}  {work['how']} at step {work['last_step']}"
        if "ended" in work
        else "no end: it was killed, or runs still"
    )
    start = work.get("init_from")
    return [
        f"{work['began']}  {work['work']} from step {work['step']}, seed {work['seed']}",
        f"    {work['command']}",
        *([f"    of {work['started_by']}"] if "started_by" in work else []),
        *([f"    in job {work['cluster_job']} of SLURM"] if "cluster_job" in work else []),
        f"    code {commit}; {work['processes']} x {work['device']}, {work['precision']}",
        f"    {versions}",
        *([f"    data manifest {work['manifest_sha256']}"] if work["manifest_sha256"] else []),
        *(
            f"    base weights of {path}: {part['source']}, {part['tensors']} tensors, samples {part['sampled_sha256']}"
            for path, part in work.get("base_weights", {}).items()
        ),
        *([f"    starts from {start['path']}, samples {start['sampled_sha256']}"] if start else []),
        end,
    ]


def _figures(folder: Path) -> list[str]:
    file = folder / SUMMARY
    if not file.is_file():
        return ["none yet: the run has not finished"]
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        figures = [f"{name}  {value:.4f}" for name, value in sorted(summary["figures"].items())]
        return [f"steps  {summary['steps']}", *figures]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is no summary of a run: {error!r}") from None


def _weights(checkpoint: Path, works: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return hashes of the last checkpoint, and of the frozen weights that it leaves out."""
    # Imported here, since the rest of a run is read without torch.
    from lightning_modules.training.checkpoint import read_checkpoint, weights_digest
    from lightning_modules.training.frozen_base import ENTRY

    hashes = {path: digest for work in works for path, digest in work.get("frozen_sha256", {}).items()}
    if not is_checkpoint(checkpoint):
        return [f"{path}, frozen: sha256 {digest}" for path, digest in hashes.items()]
    content = read_checkpoint(checkpoint, "checkpoint")  # without reading its tensors
    weights = content["state_dict"]
    return [
        f"{checkpoint.name}: {len(weights)} tensors, samples {weights_digest(weights)}",
        *(
            f"{path}, frozen: {part['source']}, {len(part['tensors'])} tensors, sha256 {part['fingerprint']}"
            for path, part in content.get(ENTRY, {}).items()
        ),
    ]


def _text(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None

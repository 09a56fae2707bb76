"""`video-panda show RUN`: what a run is, where it comes from, who worked on it, and how it ended."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lightning_modules.callbacks.run_history import DIFF, HISTORY
from lightning_modules.frozen_base import ENTRY
from lightning_modules.user_errors import user_errors


def main(args: Sequence[str]) -> None:
    """Read the command line, and show."""
    parser = argparse.ArgumentParser(prog="video-panda show", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder, such as runs/full/seed_0")
    with user_errors():
        print("\n".join(shown(parser.parse_args(args).run)))


def shown(folder: Path) -> list[str]:
    """Return the lines that tell of a run.

    Raises:
        ValueError: the folder is not one of a run, or a line of its history is none.
    """
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"{folder} is not a run folder: it has no config.yaml")
    sections = {
        "origin": _text(folder / "origin.txt"),
        "history": [line for work in history(folder) for line in _work(work)] or ["none was kept"],
        "figures": _figures(folder),
        "frozen weights": _frozen(folder / "checkpoints" / "last.ckpt"),
    }
    lines = [f"run  {folder}"]
    for name, content in sections.items():
        lines += ["", name, *(f"  {line}" for line in content or ["none"])]
    diff = folder / DIFF
    if diff.is_file():
        lines += ["", f"files differed from the commit when it began: {diff}"]
    return [*lines, "", "the same once more", f"  python -m lightning fit --config {folder / 'config.yaml'}"]


def history(folder: Path) -> list[dict[str, Any]]:
    """Return what was done in a run's folder: each beginning, with `ended`, `how` and `last_step` where it has an end.

    Raises:
        ValueError: a line of the file is not one of it.
    """
    work: list[dict[str, Any]] = []
    for number, line in enumerate(_text(folder / HISTORY), start=1):
        try:
            entry = json.loads(line)
            if "began" in entry:
                work.append(entry)
            else:
                work[-1] |= {"ended": entry["ended"], "how": entry["how"], "last_step": entry["step"]}
        except (ValueError, KeyError, IndexError, TypeError) as error:
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
    return [
        f"{work['began']}  {work['work']} from step {work['step']}, seed {work['seed']}",
        f"    {work['command']}",
        f"    code {commit}; {work['processes']} x {work['device']}, {work['precision']}",
        f"    {versions}",
        *([f"    data manifest {work['manifest_sha256']}"] if work["manifest_sha256"] else []),
        end,
    ]


def _figures(folder: Path) -> list[str]:
    file = folder / "summary.json"
    if not file.is_file():
        return ["none yet: the run has not finished"]
    summary = json.loads(file.read_text(encoding="utf-8"))
    figures = [f"{name}  {value:.4f}" for name, value in sorted(summary["figures"].items())]
    return [f"steps  {summary['steps']}", *figures]


def _frozen(checkpoint: Path) -> list[str]:
    """Return where the weights come from that the checkpoint leaves out, and their hashes."""
    if not checkpoint.is_file():
        return []
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return [
        f"{path}: {part['source']}, {len(part['tensors'])} tensors, sha256 {part['fingerprint']}"
        for path, part in content.get(ENTRY, {}).items()
    ]


def _text(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []

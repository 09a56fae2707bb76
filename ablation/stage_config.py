"""Is a stage that was trained before the one that is asked for now? Its `config.yaml` against that of this call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

COMPARED = ("model", "data", "trainer", "seed_everything", "init_partially")
# What says where and how fast a stage runs, or what is shown meanwhile, and not what it learns. (The global batch stays
# the same on any number of devices.) Where a stage starts from (`init_from`, `ckpt_path`) and whether it is tested at
# the end follow from its place in the chain.
IGNORED = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.default_root_dir",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.logger",
    "data.init_args.workers",
    "data.init_args.frame_cache",
    "model.feature_cache",
)


def asked_config(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the configuration that a training with these arguments would have.

    Raises:
        ValueError: the arguments are wrong; what is wrong with them was printed.
    """
    command = [sys.executable, "-m", "lightning", "fit", *arguments, "--print_config"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if printed.returncode:
        raise ValueError(f"the command line cannot be read (status {printed.returncode})")
    config: dict[str, Any] = yaml.safe_load(printed.stdout)
    return config


def kept_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        ValueError: the run has none, or it cannot be read.
    """
    path = folder / "config.yaml"
    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read, so it is not known what was trained there: {error}") from error
    return config


def stage_difference(kept: Mapping[str, Any], asked: Mapping[str, Any], also: Sequence[str] = ()) -> list[str]:
    """Return one line per key that differs, as `key: there -> asked for`.

    Args:
        kept: configuration of a run.
        asked: configuration that is asked for now.
        also: keys that count beside those of `COMPARED`. Those of `IGNORED` never do.
    """
    ours, theirs = (_flat({key: config.get(key) for key in (*COMPARED, *also)}) for config in (asked, kept))
    return [
        f"{key}: {theirs.get(key, '-')} -> {ours.get(key, '-')}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key, "-") != theirs.get(key, "-")
        and not f"{key}.".startswith(tuple(f"{name}." for name in IGNORED))
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves

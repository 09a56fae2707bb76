"""Is a stage that was trained before the one that is asked for now? Its `config.yaml` against that of this call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_modules.config.chain import ConfigChainError, read_config

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


def kept_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        ValueError: the run has none, or it cannot be read.
    """
    try:
        return read_config(folder / "config.yaml")
    except ConfigChainError as error:
        raise ValueError(f"it is not known what was trained in {folder}: {error}") from error


def stage_difference(kept: Mapping[str, Any], asked: Mapping[str, Any], also: Sequence[str] = ()) -> list[str]:
    """Return one line per key that differs, as `key: there -> asked for`.

    Args:
        kept: configuration of a run.
        asked: configuration that is asked for now.
        also: keys that count beside those of `COMPARED`. Those of `IGNORED` never do.
    """
    ours, theirs = (_decisive(config, also) for config in (asked, kept))
    return [
        f"{key}: {theirs.get(key, '-')} -> {ours.get(key, '-')}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key, "-") != theirs.get(key, "-")
    ]


def configuration_hash(config: Mapping[str, Any], start: str | None) -> str:
    """Return the SHA-256 of what a stage learns by: as of a commit, that of what it starts from is a part of it.

    Args:
        config: of the stage, of which what `stage_difference` compares counts.
        start: hash of the configuration of the stage before, or of a file that the first stage starts from; None if
            that starts from nothing.
    """
    content = json.dumps({"settings": _decisive(config), "start": start}, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _decisive(config: Mapping[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
    flat = _flat({key: config.get(key) for key in (*COMPARED, *also)})
    ignored = tuple(f"{name}." for name in IGNORED)
    return {key: value for key, value in flat.items() if not f"{key}.".startswith(ignored)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves

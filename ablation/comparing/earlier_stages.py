"""The stages of a chain whose weights a run started from, and in what they differ from another run's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.comparing.answer_rows import LeftOutError
from ablation.stage_record import kept_config, read_record
from lightning_modules.config.difference import difference
from lightning_modules.runs.folder import CONFIG

Stages = Mapping[str, Mapping[str, Any] | None]


def earlier_stages(folder: Path) -> dict[str, Mapping[str, Any] | None]:
    """Return stage -> its configuration, the last one first; None of one whose folder is gone.

    Raises:
        LeftOutError: a record or a configuration cannot be read.
    """
    found: dict[str, Mapping[str, Any] | None] = {}
    try:
        record = read_record(folder)
        while record is not None and record.starts_from is not None:
            earlier = record.starts_from.folder(folder.resolve().parent.parent)
            there = (earlier / CONFIG).is_file()
            found[earlier.parent.name.rpartition("+")[2]] = kept_config(earlier) if there else None
            record = read_record(earlier) if there else None
    except ValueError as error:
        raise LeftOutError(str(error)) from None
    return found


def stage_changes(ours: Stages, base: Stages) -> list[str]:
    """Return one line per setting of an earlier stage that differs, and one if the stages are others."""
    chains = [" > ".join(reversed([*stages])) or "none" for stages in (base, ours)]
    lines = [] if chains[0] == chains[1] else [f"earlier stages: {chains[0]} -> {chains[1]}"]
    for stage, config in ours.items():
        other = base.get(stage)
        if config is not None and other is not None:
            lines += [f"{stage}: {line}" for line in difference(config, other)]
    return lines

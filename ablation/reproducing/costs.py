"""Costs of the vision part: the paper's, and ours as `video-panda profile` counts and times them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.comparing.report import NOTHING, Entry, Table
from ablation.reproducing.paper_table import PaperRow, PaperTable, row_entries

if TYPE_CHECKING:
    from lightning_modules.costs.profile import Record

TOLERANCE = 0.01  # relative to the paper's number, which is rounded
_LATENCY = "latency"  # not comparable, since the paper does not name the machine
_MEASURED = {"parameters": ("parameters", 1e-6), "gmac": ("gmac", 1.0), _LATENCY: ("latency_ms", 1.0)}


def cost_table(
    table: PaperTable, rows: Sequence[PaperRow], configs: Sequence[Path], settings: Sequence[str], repeats: int
) -> Table:
    """Return the table of costs, at the paper's scale unless a config file has another.

    Args:
        table: table of the paper.
        rows: rows that are shown.
        configs: further config files of all experiments.
        settings: further flags of `fit`.
        repeats: number of timed runs per row; 0 for none.

    Raises:
        ValueError: an experiment cannot be built.
    """
    import torch  # imported here, since tables of answers do not need it

    from lightning_modules.costs.profile import profile
    from lightning_modules.resolve import resolve_at_paper_scale

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would say on stderr that there is no GPU
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    experiments = {
        row.experiment: resolve_at_paper_scale([str(row.file), *map(str, configs)], settings)
        for row in rows
        if row.file
    }
    records = profile(experiments, device, torch.float32, repeats, seconds=math.inf)
    record = next(iter(records.values()))
    changes = [*(file.stem for file in configs if file.parent.name != "scale"), *settings]
    others = [*([f"{record['scale']} scale"] if record["scale"] != "paper" else []), *changes]
    shown = [
        [
            *row_entries(row),
            *(
                entry
                for column in table.columns
                for entry in _entries(table, row, column.key, records, comparable=not others)
            ),
        ]
        for row in rows
    ]
    heads = [head for column in table.columns for head in _heads(column.key, column.title, comparable=not others)]
    where = f"{record['device']}, {record['threads']} threads, {record['dtype']}; median of at most {repeats} runs"
    return Table(
        f"Table {table.number} of the paper, {table.title}",
        ["row", "experiment", *heads],
        shown,
        [
            f"Ours: {record['scale']} scale, as `video-panda profile` counts, for one square clip.",
            f"Latency, ours: {where}." if repeats else "Latency, ours: give --repeats 3 to measure it.",
            f"NOT comparable with the paper's numbers, and so not held against them: {', '.join(others)}."
            if others
            else f"Agrees: within {100 * TOLERANCE:g} % of the paper's number. Latencies are of other machines.",
            *table.notes,
        ],
    )


def _heads(key: str, title: str, comparable: bool) -> list[str]:
    return [f"paper: {title}", f"ours: {title}", *([f"agrees: {title}"] if comparable and key != _LATENCY else [])]


def _entries(
    table: PaperTable, row: PaperRow, key: str, records: Mapping[str, Record], comparable: bool
) -> list[Entry]:
    name, unit = _MEASURED[key]
    (paper,) = row.numbers.get(key, (None,))
    (base,) = table.base.numbers[key]
    cost = records[row.experiment]["visual"].get(name) if row.experiment else None
    ours = None if cost is None else unit * cost
    ratio = f"({paper / base:.1f} x)" if key == _LATENCY and paper and base else ""
    entries = [NOTHING if paper is None else Entry(f"{paper:g}", mark=ratio, numbers=(paper,))]
    if ours is None:
        entries.append(NOTHING)
    else:
        first = unit * records[table.base.experiment]["visual"][name]
        ratio = f"({ours / first:.1f} x)" if key == _LATENCY else ""
        entries.append(Entry(f"{ours:,.1f}", mark=ratio, numbers=(ours,)))
    if comparable and key != _LATENCY:
        if ours is None or paper is None:
            entries.append(NOTHING)
        else:
            entries.append(Entry("yes" if abs(ours - paper) <= TOLERANCE * paper else "no"))
    return entries

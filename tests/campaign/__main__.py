"""`python -m tests.campaign --seed 1 --cases 2000`: damages inputs of every kind, and counts what the product does.

Ends with status 1 if any attempt is a traceback, a hang or wrong. The same seed makes the same attempts; `--kind video
--case 17` repeats one of them, and keeps its input.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tests.campaign.attempt import attempt
from tests.campaign.kind import FAILURES, Attempt, Kind, Outcome
from tests.campaign.kinds import KINDS

Counts = dict[str, Counter[Outcome]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=200, help="of all kinds together")
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], action="append", help="these kinds alone")
    parser.add_argument("--case", type=int, help="this case alone, of the one kind that is named")
    known = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen = [kind for kind in KINDS if known.kind is None or kind.name in known.kind]
    folder = Path(tempfile.mkdtemp(prefix="campaign_"))
    counts = campaign(chosen, known.seed, known.cases, folder, known.case)
    print(table(counts))
    failed = sum(count[outcome] for count in counts.values() for outcome in FAILURES)
    if failed or known.case is not None:
        print(f"inputs are kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return int(failed > 0)


def campaign(kinds: Sequence[Kind], seed: int, cases: int, folder: Path, only: int | None = None) -> Counts:
    """Make the attempts of every kind, by its share; inputs of failures stay in `folder`."""
    counts: Counts = {}
    whole = sum(kind.share for kind in kinds)
    for kind in kinds:
        begun = time.perf_counter()
        (folder / kind.name / "prepared").mkdir(parents=True)
        kind.prepare(folder / kind.name / "prepared")
        counts[kind.name] = Counter()
        numbers = range(max(1, round(cases * kind.share / whole))) if only is None else [only]
        for number in numbers:
            place = folder / kind.name / f"case_{number}"
            result = attempt(kind, Random(f"{seed} {kind.name} {number}"), place)
            counts[kind.name][result.outcome] += 1
            _tell(kind, number, result, whole=only is not None)
            if result.outcome not in FAILURES and only is None:
                shutil.rmtree(place, ignore_errors=True)
        print(f"{kind.name}: {len(numbers)} cases, {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return counts


def _tell(kind: Kind, number: int, result: Attempt, whole: bool) -> None:
    if whole or result.outcome in FAILURES:
        print(f"{kind.name} {number}: {result.outcome}: {result.what}", file=sys.stderr)


def table(counts: Counts) -> str:
    """Return kinds by outcomes, with their sums."""
    total = sum(counts.values(), Counter())
    rows = [["kind", *Outcome, "cases"]]
    for name, count in [*counts.items(), ("all", total)]:
        rows.append([name, *(str(count[outcome]) for outcome in Outcome), str(count.total())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

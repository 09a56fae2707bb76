"""What removing a part costs, per question family: trains the rows that are missing and writes the table.

`python -m ablation.family_table --run-missing` is how the table of the README is made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.answers import ScoredAnswer, read_answers
from ablation.statistics import Interval, paired_difference, share

ROWS = ("full", "no_row_tokens", "no_fsra", "lsd_average_pool", "no_lste", "no_gstra", "no_gstra_no_lste", "blind")
Answers = dict[str, ScoredAnswer]


def run_missing(rows: Sequence[str], runs: Path, seed: int) -> None:
    """Train each row that has no answers yet, one after the other.

    Raises:
        ValueError: a training did not end well.
    """
    for row in rows:
        if (runs / row / f"seed_{seed}" / "answers" / "test.jsonl").is_file():
            continue
        command = [sys.executable, "-m", "lightning", "fit", "--config", f"experiments/{row}.yaml"]
        status = subprocess.run([*command, "--seed_everything", str(seed), "--runs", str(runs)]).returncode
        if status:
            raise ValueError(f"training {row} ended with status {status}")


def _right(answers: Answers, family: str | None) -> dict[str, bool]:
    return {id: answer.right for id, answer in answers.items() if family in (None, answer.family)}


def cell(answers: Answers, base: Answers, family: str | None, is_base: bool) -> str:
    """Return one cell: the share of right answers, and for other rows than the base the difference from it.

    A difference is printed bold when its 95 % interval leaves out zero.

    Raises:
        ValueError: the two runs did not answer the same questions.
    """
    ours, theirs = _right(answers, family), _right(base, family)
    if ours.keys() != theirs.keys():
        raise ValueError("the runs did not answer the same questions, so their answers cannot be paired")
    ids = sorted(ours)
    value = share([ours[id] for id in ids])
    text = f"{100 * value.value:.1f}"
    if is_base:
        return f"{text} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    gap = paired_difference([ours[id] for id in ids], [theirs[id] for id in ids])
    return f"{text} ({_signed(gap)})"


def _signed(gap: Interval) -> str:
    text = f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    return f"**{text}**" if gap.low > 0 or gap.high < 0 else text


def markdown(rows: Sequence[str], runs: Path, seed: int) -> str:
    """Return the table: a row per experiment, a column per family; the first row is the base.

    Raises:
        ValueError: a run is missing or cannot be compared.
    """
    answers = {row: read_answers(runs / row / f"seed_{seed}") for row in rows}
    base = answers[rows[0]]
    families = sorted({answer.family for answer in base.values()})
    lines = [
        "| experiment | all | " + " | ".join(families) + " |",
        "| --- |" + " --- |" * (len(families) + 1),
    ]
    for row in rows:
        cells = [cell(answers[row], base, family, row == rows[0]) for family in (None, *families)]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m ablation.family_table", description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS), help="experiments; the first one is the base")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run-missing", action="store_true", help="train the rows that have no answers yet")
    parser.add_argument("--out", type=Path, help="file to write the table to as well")
    arguments = parser.parse_args()
    try:
        if arguments.run_missing:
            run_missing(arguments.rows, arguments.runs, arguments.seed)
        table = markdown(arguments.rows, arguments.runs, arguments.seed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(table)
    if arguments.out:
        arguments.out.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

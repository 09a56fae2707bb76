"""What removing a part costs, per question family: trains the rows that are missing and writes the table.

`python -m ablation.family_table --run-missing` is how the table of the README is made.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ablation.answers import ScoredAnswer, read_answers
from ablation.attempts import attempts
from ablation.statistics import paired_difference, share
from lightning_modules.interval import Interval

ROWS = (
    "full",
    "no_row_tokens",
    "no_fsra",
    "lsd_average_pool",
    "no_lste",
    "no_gstra",
    "no_gstra_no_lste",
    "no_distillation",
    "blind",
)
Answers = dict[str, ScoredAnswer]


def finished_run(runs: Path, row: str, seed: int) -> Path | None:
    """Return the latest run of an experiment that has test answers; one that was interrupted or failed has none."""
    done = [folder for folder in attempts(runs, row, seed) if (folder / "answers" / "test.jsonl").is_file()]
    return done[-1] if done else None


def run_missing(rows: Sequence[str], runs: Path, seed: int, jobs: int = 1, configs: Sequence[Path] = ()) -> None:
    """Train each row that has no answers yet.

    Args:
        rows: experiments.
        runs: folder of all runs.
        seed: of every training.
        jobs: trainings at a time; they share the processor's cores.
        configs: further config files of every training, such as a scale.

    Raises:
        ValueError: a training did not end well, or `jobs` is not positive.
    """
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    settings = ["--seed_everything", str(seed), "--runs", str(runs)]
    environment = dict(os.environ)
    if jobs > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
        settings.append("--trainer.enable_progress_bar=false")  # bars would overwrite each other

    def train(row: str) -> int:
        files = [f"--config={file}" for file in (f"experiments/{row}.yaml", *configs)]
        command = [sys.executable, "-m", "lightning", "fit", *files, "--name", row, *settings]
        return subprocess.run(command, env=environment, check=False).returncode

    missing = [row for row in rows if finished_run(runs, row, seed) is None]
    with ThreadPoolExecutor(jobs) as pool:
        statuses = list(pool.map(train, missing))
    failed = [f"{row} (status {status})" for row, status in zip(missing, statuses, strict=True) if status]
    if failed:
        raise ValueError(f"these trainings did not end well: {', '.join(failed)}")


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
    text = f"{100 * value.value:.0f}"
    if is_base:
        return f"{text} [{100 * value.low:.0f}, {100 * value.high:.0f}]"
    gap = paired_difference([ours[id] for id in ids], [theirs[id] for id in ids])
    return f"{text} ({_signed(gap)})"


def _signed(gap: Interval) -> str:
    text = f"{100 * gap.value:+.0f} [{100 * gap.low:+.0f}, {100 * gap.high:+.0f}]"
    return f"**{text}**" if gap.low > 0 or gap.high < 0 else text


def markdown(rows: Sequence[str], runs: Path, seed: int) -> str:
    """Return the table: a row per experiment, a column per family; the first row is the base.

    Raises:
        ValueError: a run is missing or cannot be compared.
    """
    answers = {row: read_answers(finished_run(runs, row, seed) or runs / row / f"seed_{seed}") for row in rows}
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
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--config", type=Path, action="append", default=[], help="further config file of every run")
    parser.add_argument("--out", type=Path, help="file to write the table to as well")
    arguments = parser.parse_args()
    try:
        if arguments.run_missing:
            run_missing(arguments.rows, arguments.runs, arguments.seed, arguments.jobs, arguments.config)
        table = markdown(arguments.rows, arguments.runs, arguments.seed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(table)
    if arguments.out:
        arguments.out.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

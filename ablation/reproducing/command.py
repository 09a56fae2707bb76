"""A table of the paper from nothing: trains the rows that are missing, and prints ours beside the paper's numbers.

`video-panda reproduce table-4` trains at toy scale, in minutes a row; `--config configs/scale/paper.yaml --config
DATA.yaml` at the paper's. Further flags of `fit` go to every run. The same command resumes what was stopped or killed.
docs/reproduce.md explains the columns.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from ablation.comparing.command import add_file_options, write
from ablation.comparing.report import Table, as_csv, as_latex, as_page, as_text
from ablation.reproducing.benchmark_table import benchmark_table
from ablation.reproducing.column import BenchmarkColumn
from ablation.reproducing.costs import cost_table
from ablation.reproducing.own_tests import find_own_tests, own_tables
from ablation.reproducing.paper_table import PaperRow, PaperTable, paper_numbers, paper_table, table_numbers
from ablation.reproducing.tested import find_answers, missing_judgements, missing_tests
from ablation.reproducing.trained import PAPER, Trained, find_trained
from ablation.sweep.command import add_options, check_options, close, train
from ablation.sweep.jobs import expand
from ablation.sweep.request import request_of
from ablation.sweep.runner import Outcome
from datamodules.printable import say
from lightning_modules.config.chain import STAGES, is_scale
from lightning_modules.config.user_errors import ProgramParser, user_errors


def main(args: Sequence[str] | None = None) -> None:
    """Train and print the table that the command line names; the exit status is that of `sweep`."""
    parser = _parser()
    options, settings = parser.parse_known_args(args)
    check_options(parser, options)
    if options.repeats < 0:
        parser.error(f"--repeats is {options.repeats}; it must be 0 or more")
    with user_errors():
        outcome = reproduce(options, settings)
    close(outcome)


def reproduce(options: argparse.Namespace, settings: Sequence[str]) -> Outcome:
    """Train the missing rows, print the table and write the files; return the outcome of the trainings.

    Raises:
        ValueError: there is no such table, runs have other settings, or tests cannot be compared.
    """
    table = paper_table(options.table)
    title = f"Table {table.number}: {table.title}"
    rows = [*table.rows, *(PaperRow(file.stem, file, {}) for file in options.also)]
    if not any(isinstance(column, BenchmarkColumn) for column in table.columns):
        _publish([cost_table(table, rows, options.config, settings, options.repeats)], [], title, options)
        return Outcome()
    experiments = [row for row in rows if row.file]
    files = [row.file for row in experiments if row.file]
    stages = table.stages or (STAGES if _is_staged(options.config) else ())
    seeds = options.seeds or [table.seeds]
    request = request_of(files, f"table_{table.number}", seeds, options.config, (), settings, stages)
    say(paper_numbers(table, rows).text() + "\n")
    names = [job.name for job in expand(request, options.runs)[: len(experiments)]]
    outcome = train(request, options)
    trained = [
        find_trained(row, name, options.runs, request.seeds) for row, name in zip(experiments, names, strict=True)
    ]
    if outcome is None or outcome.stopped_by:
        return outcome or Outcome()
    _publish(*_tables(table, rows, trained, options.judge), title, options)
    return outcome


def _is_staged(configs: Sequence[Path]) -> bool:
    """Whether config files ask for the paper's scale with all of its stages, not for a single stage."""
    scales = [file for file in configs if is_scale(file)]
    return bool(scales) and scales[-1].stem == PAPER.stem and not any(file.parent.name == "stage" for file in configs)


def _tables(
    table: PaperTable, rows: Sequence[PaperRow], trained: Sequence[Trained], judge: str | None
) -> tuple[list[Table], list[str]]:
    """Return the tables of benchmarks and of the runs' own tests, as far as available, and lines about problems."""
    problems: list[str] = []
    columns = [column for column in table.columns if isinstance(column, BenchmarkColumn)]
    answers = {column: find_answers(column, trained, judge, problems) for column in columns}
    own = find_own_tests(trained, problems)
    at_scale = any(PAPER.stem in training.scales for training in trained)
    tables = []
    if at_scale or any(row.tested for column_answers in answers.values() for row in column_answers):
        tables += [benchmark_table(table, rows, column, answers[column]) for column in columns]
        problems += [f"not tested: {line}" for line in missing_tests(answers)]
        problems += [f"not judged: {line}" for line in missing_judgements(answers)]
    if own:
        tables += own_tables(table, rows, trained, own)
    return tables or [paper_numbers(table, rows, ["Ours: no row is trained and tested yet."])], problems


def _publish(tables: Sequence[Table], problems: Sequence[str], title: str, options: argparse.Namespace) -> None:
    """Print tables and remarks, and write the requested files."""
    remarks = "".join(f"\n- {line}" for line in dict.fromkeys(problems))
    section = f"\n\nremarks:\n{remarks}" if remarks else ""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    say(f"\n{as_text(tables, columns)}{section}")
    contents: dict[str, Callable[[], str]] = {
        "markdown": lambda: f"{as_text(tables)}{section}\n",
        "csv": lambda: as_csv(_csv_lines(tables)),
        "latex": lambda: as_latex(tables),
        "html": lambda: as_page(tables, title),
    }
    for flag, content in contents.items():
        file: Path | None = getattr(options, flag)
        if file is not None:
            write(flag, file, content())


def _csv_lines(tables: Sequence[Table]) -> list[Mapping[str, object]]:
    """Return a line per cell, with its unrounded numbers."""
    return [
        {
            "table": table.title,
            "row": label.text,
            "column": head,
            "text": entry.whole,
            **dict(zip_longest(("value", "low", "high"), entry.numbers, fillvalue="")),
        }
        for table in tables
        for label, *entries in table.rows
        for head, entry in zip(table.heads[1:], entries, strict=True)
        if entry.text
    ]


def _parser() -> argparse.ArgumentParser:
    parser = ProgramParser(
        prog="video-panda reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = ", ".join(f"table-{number}" for number in table_numbers())
    parser.add_argument("table", help=f"one of {names}")
    parser.add_argument("--also", nargs="+", type=Path, default=[], metavar="EXPERIMENT", help="further rows")
    add_options(parser)
    parser.add_argument("--judge", help="judge whose judgements count: the name of their file without .jsonl")
    parser.add_argument("--repeats", type=int, default=0, help="of a table of costs: timed runs of each row")
    add_file_options(parser)
    return parser

"""Compares finished runs: their settings, their scores, and which differences are more than chance.

`video-panda compare runs` compares all experiments below a folder, `video-panda compare runs/full runs/no_lste` two of
them. Runs of one experiment that differ in their seed are one row. docs/compare.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.comparing.comparison import compare
from ablation.comparing.decisions import as_decided, decisions_for
from ablation.comparing.experiment import choose_baseline, experiments, measured_costs
from ablation.comparing.further_metrics import compare_metric, further_metrics
from ablation.comparing.page import page
from ablation.comparing.report import as_csv, as_latex
from ablation.comparing.run import find_runs
from ablation.comparing.sequential import Looks
from ablation.comparing.tables import csv_lines, paper_tables, text
from ablation.judging.judge import POINTS
from components.files import write_whole
from datamodules.printable import printable, say
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.scoring.metrics import PERCENT, built_metrics


def run(options: argparse.Namespace) -> None:
    """Compare runs, print the tables and write the files.

    Raises:
        ValueError: runs are missing or cannot be compared, or a file cannot be written.
    """
    if options.points and options.judge is None:
        raise ValueError("--points compares the scores of a judge: give --judge NAME too")
    if options.metrics and options.judge is not None:
        raise ValueError("--metrics measures answers, and --judge says how good they are: give one of them")
    unit = POINTS if options.points else PERCENT
    if options.smallest is not None and not 0 < options.smallest < unit.best:
        raise ValueError(f"--smallest is {options.smallest:g}; it must be between 0 and {unit.best:g} {unit.points}")
    runs, left_out = find_runs(options.runs, options.verb, options.judge, options.points)
    rows = experiments(runs, options.attempts)
    if len(rows) < 2:
        raise ValueError(
            f"there are finished runs of {rows[0].name} only; a comparison needs two experiments"
            + "".join(f"\n  left out: {folder.folder}: {folder.reason}" for folder in left_out)
        )
    names = [row.name for row in rows]
    sweeps = decisions_for([run.folder for run in runs], names)
    first = sweeps[0] if sweeps and len(sweeps[0].asked.keys() & {*names}) > 1 else None
    name = first.baseline if first and first.baseline in names and options.baseline is None else options.baseline
    baseline = choose_baseline(rows, name)
    # Decisions of a sweep apply only to a comparison with the same scores, judge, verb and baseline.
    same_question = (
        not options.scores
        and options.judge is None
        and options.verb == "fit"
        and first
        and first.baseline == baseline.name
    )
    smallest = first.smallest if first and same_question and options.smallest is None else options.smallest
    looks = Looks({name: sweep.most for sweep in reversed(sweeps) for name in sweep.asked})
    comparison = compare(rows, baseline, smallest, options.although_different, options.scores, left_out, looks)
    if first and same_question and smallest == first.smallest:
        comparison = as_decided(comparison, first)
    extra = built_metrics(options.metrics, "--metrics") if options.metrics else []
    further = [compare_metric(metric, rows, baseline, options.scores, looks) for metric in further_metrics(rows, extra)]
    costs, problems = measured_costs(rows) if options.costs else ({}, [])
    comparison = comparison.with_remarks(problems)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    say(text(comparison, costs, further, columns))
    for flag, file, content in (
        ("markdown", options.markdown, lambda: text(comparison, costs, further) + "\n"),
        ("csv", options.csv, lambda: as_csv(csv_lines(comparison, costs, further))),
        ("latex", options.latex, lambda: as_latex(paper_tables(comparison, further), widest=None)),
        ("html", options.html, lambda: page(comparison, costs, further)),
    ):
        if file is not None:
            write(flag, file, content())


def write(flag: str, file: Path, content: str) -> None:
    """Write the file of a flag, and print its name.

    Raises:
        ValueError: the file cannot be written.
    """
    try:
        write_whole(file, printable(content))
    except OSError as error:
        raise ValueError(f"--{flag} {file} cannot be written: {error.strerror}") from error
    say(f"\nwritten: {file}")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each file format."""
    for name, description in (
        ("markdown", "the same as is printed"),
        ("csv", "a line per figure, with all its digits"),
        ("latex", "tables for booktabs"),
        ("html", "a page that needs nothing else"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {description}")


def main(args: Sequence[str] | None = None) -> None:
    """Compare runs as the command line says."""
    parser = ProgramParser(
        prog="video-panda compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--baseline", help="name of the experiment that others are compared with; default: the one that"
                        " all others differ least from")  # fmt: skip
    parser.add_argument("--verb", choices=("fit", "test"), default="fit", help="compare trainings, or `test` by itself")
    parser.add_argument("--attempts", choices=("latest", "average"), help="several runs of one experiment and seed")
    parser.add_argument(
        "--judge",
        help="whose judgements say what is right: name of a file that `judge` has written,"
        " without .jsonl; default: the comparison of the test itself",
    )
    parser.add_argument("--points", action="store_true", help="compare the judge's scores of 0 to 5, of each aspect"
                        " where it has them, and not what it says is right")  # fmt: skip
    parser.add_argument("--scores", nargs="+", default=[], help="compare these only: all, a benchmark, a family; fewer"
                        " tests are corrected for")  # fmt: skip
    parser.add_argument("--metrics", nargs="+", default=[], help="further metrics to compute from the answers, by class"
                        " name, such as TokenF1; those that runs name in model.metrics are shown anyway")  # fmt: skip
    parser.add_argument("--smallest", type=float, help="difference that matters, as it is shown; default: 2 percentage"
                        " points, or 0.1 points of a judge")  # fmt: skip
    parser.add_argument("--although-different", "--although_different", action="store_true",
                        help="compare runs that differ in scale, data or rules, over common questions")  # fmt: skip
    parser.add_argument("--costs", action="store_true", help="count parameters, GMAC and tokens of the visual path")
    add_file_options(parser)
    with user_errors():
        run(parser.parse_args(args))

"""The answers of trained rows to a benchmark: reading them, checking them, and commands for missing ones."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.comparing.answer_rows import Answered, LeftOutError
from ablation.comparing.experiment import Experiment
from ablation.comparing.obstacles import obstacles
from ablation.comparing.run import Run, Verb, read_run
from ablation.judging.judgements import read_judgements
from ablation.reproducing.column import BenchmarkColumn, BenchmarkInfo, Judgements
from ablation.reproducing.trained import Trained, differences_from_paper
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.folder import CONFIG, JUDGEMENTS, LAST_CHECKPOINT, attempts
from lightning_modules.scoring.answer_store import AnswerStore, read_rows


class MissingError(ValueError):
    """The reason why a figure is missing, short enough for a table cell."""


@dataclass(frozen=True)
class Tested:
    """Answers of a training to a benchmark.

    Attributes:
        run: run with the answers to this benchmark only.
        judgements: judgements of one judge; empty if the benchmark needs no judge.
    """

    run: Run
    judgements: Judgements


@dataclass(frozen=True)
class RowAnswers:
    """Answers of a row's trainings.

    Attributes:
        trained: trainings of the row.
        tested: answers by seed.
        missing: reasons why answers of seeds are missing; empty if there are all.
    """

    trained: Trained
    tested: Mapping[int, Tested]
    missing: str


def find_answers(
    column: BenchmarkColumn, trained: Sequence[Trained], judge: str | None, problems: list[str]
) -> list[RowAnswers]:
    """Return the answers of every row.

    Args:
        column: column with the benchmark.
        trained: trainings of the rows.
        judge: name of a file of judgements, without its ending; None for the only one.
        problems: list to which the left out runs are added, with reasons.

    Raises:
        ValueError: there are several judges and `judge` is None, or the tests differ in more than the answers.
    """
    answers = [_row_answers(column.benchmark, row, judge, problems) for row in trained]
    experiments = [
        Experiment(row.trained.name, {seed: [tested.run] for seed, tested in row.tested.items()})
        for row in answers
        if row.tested
    ]
    check_alike(experiments, f"tests on {column.benchmark.name}")
    return answers


def check_alike(experiments: Sequence[Experiment], tests: str) -> None:
    """Refuse tests that cannot be compared; the error message describes them as `tests`.

    Raises:
        ValueError: questions, scale, judge or anything else differs that must be equal.
    """
    different = obstacles(experiments) if experiments else []
    if different:
        lines = "\n".join(f"  {line}" for line in different)
        raise ValueError(f"these {tests} cannot be in one table; test again, or move away, what is different:\n{lines}")


def evaluation_differences(column: BenchmarkColumn, answers: Sequence[RowAnswers]) -> list[str]:
    """Return the reasons why these figures cannot be compared with the paper's; empty if they can."""
    benchmark = column.benchmark
    runs = [tested.run for row in answers for tested in row.tested.values()]
    lines = differences_from_paper([row.trained for row in answers if row.tested])
    judges = {run.answered.judge or "" for run in runs}
    others = sorted(judge for judge in judges if benchmark.judge and not judge.startswith(benchmark.judge))
    if others:
        lines.append(f"judged by {' and '.join(others)}, the paper's by {benchmark.judge}")
    questions = min((len(run.answered.questions) for run in runs), default=benchmark.questions)
    if questions != benchmark.questions:
        lines.append(f"{questions:,} of {benchmark.questions:,} questions were asked")
    return lines


def missing_tests(answers: Mapping[BenchmarkColumn, Sequence[RowAnswers]]) -> list[str]:
    """Return a test command for each training that was not tested on all benchmarks of the table."""
    files: dict[Path, list[Path]] = {}
    for column, rows in answers.items():
        for row in rows:
            for seed, folder in row.trained.folders.items():
                if seed not in row.tested and "not tested" in row.missing:
                    wanted = files.setdefault(folder, [])
                    wanted += [column.benchmark.file] if column.benchmark.file not in wanted else []
    return [
        as_typed(
            [
                *("python", "-m", "lightning", "test", f"--config={folder / CONFIG}"),
                *(f"--config={file}" for file in wanted),
                f"--ckpt_path={folder / LAST_CHECKPOINT}",
            ]
        )
        + " --data.root=FOLDER"
        for folder, wanted in files.items()
    ]


def missing_judgements(answers: Mapping[BenchmarkColumn, Sequence[RowAnswers]]) -> list[str]:
    """Return a judge command, if any answers are not judged."""
    columns = [column for column, rows in answers.items() if any("not judged" in row.missing for row in rows)]
    if not columns:
        return []
    words = ["--judge", "ServerJudge", f"--judge.model={columns[0].benchmark.judge}"]
    return [f"video-panda judge RUN {shlex.join(words)} --judge.base_url=URL"]


def _row_answers(benchmark: BenchmarkInfo, trained: Trained, judge: str | None, problems: list[str]) -> RowAnswers:
    tested: dict[int, Tested] = {}
    missing: dict[str, list[int]] = {}
    for seed in trained.seeds:
        try:
            if seed not in trained.folders:
                raise MissingError("not trained")
            tested[seed] = _latest_test(trained.folders[seed], benchmark, judge, problems)
        except MissingError as error:
            missing.setdefault(str(error), []).append(seed)
    words = [f"{len(seeds)} {why}" for why, seeds in missing.items()] if tested or len(missing) > 1 else [*missing]
    return RowAnswers(trained, tested, ", ".join(words))


def _latest_test(trained: Path, benchmark: BenchmarkInfo, judge: str | None, problems: list[str]) -> Tested:
    """Return the latest answers of a trained run, in its own folder or in that of a test by itself.

    Raises:
        MissingError: it was not tested, or its answers were not judged.
        ValueError: there are several judges and `judge` is None.
    """
    for folder, verb in _folders(trained):
        try:
            run = _of_benchmark(read_run(folder, verb), benchmark)
            if verb == "test" and not _is_of(run, trained):
                raise LeftOutError(f"its weights are not those of {trained}")
            if run.marks:
                return _judged(run, judge) if benchmark.judge else Tested(run, {})
        except LeftOutError as error:
            problems.append(f"{folder}: {error}")
    raise MissingError("not tested")


def _folders(trained: Path) -> Iterator[tuple[Path, Verb]]:
    """Yield the folders that may have answers, the latest first."""
    for folder in reversed(attempts(trained.parent, f"test_{trained.name.partition('.')[0]}")):
        yield folder, "test"
    if AnswerStore.of_run(trained).path.is_file():
        yield trained, "fit"


def _of_benchmark(run: Run, benchmark: BenchmarkInfo) -> Run:
    marks = {
        question: mark for question, mark in run.marks.items() if question.family.partition("/")[0] == benchmark.name
    }
    return replace(run, answered=Answered(marks))


def _is_of(run: Run, trained: Path) -> bool:
    """Whether a test was of the weights of this training, or does not record its checkpoint."""
    checkpoint = run.provenance.get("checkpoint")
    path = checkpoint.get("path") if isinstance(checkpoint, Mapping) else None
    return path is None or Path(path).resolve().is_relative_to(trained.resolve())


def _judged(run: Run, judge: str | None) -> Tested:
    folder = run.folder / JUDGEMENTS / "test"
    judges = sorted(path.stem for path in folder.glob("*.jsonl"))
    if not judges or (judge is not None and judge not in judges):
        raise MissingError(f"not judged by {judge}" if judges else "not judged")
    if judge is None and len(judges) > 1:
        raise ValueError(f"{folder} has judgements by {' and '.join(judges)}; say with --judge which of them count")
    name, judgements = read_judgements(folder / f"{judge or judges[0]}.jsonl")
    texts = {str(row["id"]): row.get("prediction") for row in read_rows(AnswerStore.of_run(run.folder).path)}
    if any(judged.prediction != texts.get(judged.id) for judged in judgements.values()):
        raise LeftOutError(f"{name} has judged other answers than those that are there now; judge them anew")
    return Tested(replace(run, answered=Answered(run.marks, judge=name)), judgements)

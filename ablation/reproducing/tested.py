"""The answers of trained rows to a benchmark: found, held against each other and the paper's, or how to get them."""

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
from ablation.reproducing.column import Asked, KnownBenchmark
from ablation.reproducing.measure import Judgements
from ablation.reproducing.trained import Trained, differences_from_paper
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.folder import CONFIG, JUDGEMENTS, LAST_CHECKPOINT, attempts
from lightning_modules.scoring.answer_store import AnswerStore, read_rows


class MissingError(ValueError):
    """Why there is no figure, in as few words as fit into a cell."""


@dataclass(frozen=True)
class Tested:
    """Answers of a training to a benchmark.

    Attributes:
        run: run with these answers alone.
        judgements: judgements of one judge; none where no judge is asked.
    """

    run: Run
    judgements: Judgements


@dataclass(frozen=True)
class RowAnswers:
    """Answers of a row's trainings.

    Attributes:
        trained: trainings of the row.
        tested: seed -> answers.
        missing: why there are none, or not of every seed; empty if nothing is missing.
    """

    trained: Trained
    tested: Mapping[int, Tested]
    missing: str


def find_answers(column: Asked, trained: Sequence[Trained], judge: str | None, problems: list[str]) -> list[RowAnswers]:
    """Return the answers of every row.

    Args:
        column: column with the benchmark.
        trained: trainings of the rows.
        judge: name of a file of judgements, without its ending; None: the only one that there is.
        problems: to which is added what was left out, and why.

    Raises:
        ValueError: several judges, and nothing says which counts; or the runs were not tested alike.
    """
    answers = [_row_answers(column.benchmark, row, judge, problems) for row in trained]
    experiments = [
        Experiment(row.trained.name, {seed: [tested.run] for seed, tested in row.tested.items()})
        for row in answers
        if row.tested
    ]
    check_alike(experiments, f"tests on {column.benchmark.name}")
    return answers


def check_alike(experiments: Sequence[Experiment], what: str) -> None:
    """Refuse tests that cannot be compared.

    Raises:
        ValueError: questions, scale, judge or anything else differs that must not.
    """
    different = obstacles(experiments) if experiments else []
    if different:
        lines = "\n".join(f"  {line}" for line in different)
        raise ValueError(f"these {what} cannot be in one table; test again, or move away, what is different:\n{lines}")


def not_as_in_the_paper(column: Asked, answers: Sequence[RowAnswers]) -> list[str]:
    """Return why these figures cannot be held against the paper's; nothing if they can."""
    benchmark = column.benchmark
    runs = [tested.run for row in answers for tested in row.tested.values()]
    lines = differences_from_paper([row.trained for row in answers if row.tested])
    judges = {run.answered.judge or "" for run in runs}
    others = sorted(judge for judge in judges if benchmark.judge and not judge.startswith(benchmark.judge))
    if others:
        lines.append(f"judged by {' and '.join(others)}, the paper's by {benchmark.judge}")
    asked = min((len(run.answered.questions) for run in runs), default=benchmark.questions)
    if asked != benchmark.questions:
        lines.append(f"{asked:,} of {benchmark.questions:,} questions were asked")
    return lines


def missing_tests(answers: Mapping[Asked, Sequence[RowAnswers]]) -> list[str]:
    """Return a command for each training that was not tested on all benchmarks of the table."""
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


def missing_judgements(answers: Mapping[Asked, Sequence[RowAnswers]]) -> list[str]:
    """Return what is to be judged, as one command, if anything is not judged."""
    columns = [column for column, rows in answers.items() if any("not judged" in row.missing for row in rows)]
    if not columns:
        return []
    words = ["--judge", "ServerJudge", f"--judge.model={columns[0].benchmark.judge}"]
    return [f"video-panda judge RUN {shlex.join(words)} --judge.base_url=URL"]


def _row_answers(benchmark: KnownBenchmark, trained: Trained, judge: str | None, problems: list[str]) -> RowAnswers:
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


def _latest_test(trained: Path, benchmark: KnownBenchmark, judge: str | None, problems: list[str]) -> Tested:
    """Return the latest answers of a trained run, in its own folder or in that of a test by itself.

    Raises:
        MissingError: it was not tested, or nobody has judged its answers.
        ValueError: several judges, and nothing says which counts.
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
    """Yield where answers may be, the latest first."""
    for folder in reversed(attempts(trained.parent, f"test_{trained.name.partition('.')[0]}")):
        yield folder, "test"
    if AnswerStore.of_run(trained).path.is_file():
        yield trained, "fit"


def _of_benchmark(run: Run, benchmark: KnownBenchmark) -> Run:
    marks = {
        question: mark for question, mark in run.marks.items() if question.family.partition("/")[0] == benchmark.name
    }
    return replace(run, answered=Answered(marks))


def _is_of(run: Run, trained: Path) -> bool:
    """Whether a test was of the weights of this training; also where it does not say."""
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

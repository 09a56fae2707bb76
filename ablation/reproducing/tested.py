"""The answers of a trained run to the questions of a benchmark: in its own folder, or in that of a test by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.comparing.answer_rows import Answered, LeftOutError
from ablation.comparing.run import Run, Verb, read_run
from ablation.judging.judgements import JudgedAnswer, Key, read_judgements
from ablation.reproducing.known_benchmark import KnownBenchmark
from lightning_modules.runs.folder import JUDGEMENTS, attempts
from lightning_modules.scoring.answer_store import AnswerStore, read_rows


class MissingError(ValueError):
    """Why there is no figure, in as few words as fit into a cell."""


@dataclass(frozen=True)
class Tested:
    """Answers to a benchmark.

    Attributes:
        run: with these answers alone.
        judgements: of a judge; none where no judge is asked.
    """

    run: Run
    judgements: Mapping[Key, JudgedAnswer]


def find_tested(trained: Path, benchmark: KnownBenchmark, judge: str | None, problems: list[str]) -> Tested:
    """Return the latest answers of a trained run to a benchmark.

    Args:
        trained: folder of the training.
        benchmark: whose questions are wanted.
        judge: name of a file of judgements, without its ending; None: the only one that there is.
        problems: to which is added what was left out, and why.

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
    marks = {question: mark for question, mark in run.marks.items() if _name(question.family) == benchmark.name}
    return replace(run, answered=Answered(marks))


def _name(family: str) -> str:
    return family.partition("/")[0]


def _is_of(run: Run, trained: Path) -> bool:
    """Whether a test was of the weights of this training; also where it does not say."""
    checkpoint = run.provenance.get("checkpoint")
    path = checkpoint.get("path") if isinstance(checkpoint, Mapping) else None
    return path is None or Path(path).resolve().is_relative_to(trained.resolve())


def _judged(run: Run, judge: str | None) -> Tested:
    folder = run.folder / JUDGEMENTS / "test"
    there = sorted(path.stem for path in folder.glob("*.jsonl"))
    if not there or (judge is not None and judge not in there):
        raise MissingError(f"not judged by {judge}" if there else "not judged")
    if judge is None and len(there) > 1:
        raise ValueError(f"{folder} has judgements by {' and '.join(there)}; say with --judge which of them count")
    name, judgements = read_judgements(folder / f"{judge or there[0]}.jsonl")
    texts = {str(row["id"]): row.get("prediction") for row in read_rows(AnswerStore.of_run(run.folder).path)}
    if any(each.prediction != texts.get(each.id) for each in judgements.values()):
        raise LeftOutError(f"{name} has judged other answers than those that are there now; judge them anew")
    return Tested(replace(run, answered=Answered(run.marks, judge=name)), judgements)

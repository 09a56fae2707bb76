"""Writes the scores of a test with their intervals and provenance, to the run folder and the loggers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from components.files import json_lines, write_whole
from datamodules.video_qa import VideoQA
from datamodules.video_text import VideoTextDataModule
from lightning_modules.callbacks.answer_file import AnswerFile
from lightning_modules.runs.checkout import utc_now
from lightning_modules.runs.folder import ANSWERS, run_folder
from lightning_modules.runs.logger_families import Table, shown_by
from lightning_modules.runs.origin import Origin
from lightning_modules.scoring.answer_store import AnswerStore, Row
from lightning_modules.scoring.interval import HOW_SURE, Interval
from lightning_modules.scoring.scores import Score, as_table, counts, scored, scored_benchmark, scores
from lightning_modules.training.provenance import provenance
from lightning_modules.video_language import VideoLanguageModel


class ScoreFile(Callback):
    """Writes `answers/test_scores.json` from all answers on disk, on the first process; comes after `AnswerFile`.

    Bounds are logged as `test_interval/<score>/low` and `/high`, and loggers show the scores and the answers as tables.

    Attributes:
        intervals: logged name of a score, such as `test/exact_match/mean` -> its interval.
    """

    def __init__(self, answers: AnswerFile, origin: Origin) -> None:
        """Store the callback that writes the answers, and the origin of the run."""
        self.answers = answers
        self.origin = origin
        self.intervals: dict[str, Interval] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the provenance now, since code and files may change during the test."""
        self.intervals = {}
        if self.answers.store is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self.provenance = {
            **self.origin.facts(),
            **provenance(trainer, pl_module, self.answers.answer_settings),
            "answered_before": len(pl_module.data.answered),
            "began": utc_now(),
        }

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the answers on disk.

        Raises:
            ValueError: the file cannot be written; raised on every process, so that none waits for the first one.
        """
        if self.answers.store is None:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        problem = self._score(trainer, pl_module, self.answers.store) if trainer.is_global_zero else ""
        problem = trainer.strategy.broadcast(problem)
        if problem:
            raise ValueError(problem)

    def _score(self, trainer: Trainer, model: VideoLanguageModel, store: AnswerStore) -> str:
        """Write and log the scores; return why the file cannot be written, or an empty string."""
        answers, data = store.answered(), model.data
        results = scores(answers, data.benchmarks_asked(), model.metrics)
        self.intervals = {f"test/{name}": score.interval for name, score in results.items()}
        content = _content(answers, data, results) | {"provenance": {**self.provenance, "ended": utc_now()}}
        try:
            write_whole(store.scores, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
        except OSError as error:
            return f"{store.scores} cannot be written: {error.strerror}; the answers are kept in {store.path}"
        self._log(trainer, results, answers)
        return ""

    def _log(self, trainer: Trainer, results: Mapping[str, Score], answers: Mapping[str, Row]) -> None:
        bounds = {
            f"test_interval/{name}/{side}": bound
            for name, score in results.items()
            for side, bound in (("low", score.interval.low), ("high", score.interval.high))
        }
        for logger in trainer.loggers if bounds else []:
            logger.log_metrics(bounds, step=trainer.global_step)
        for family in shown_by(trainer):
            if results:
                family.text("scores", f"{as_table(results)}\n\n{HOW_SURE}", trainer.global_step)
            family.table("test/answers", _answers(answers), trainer.global_step)


def _answers(answers: Mapping[str, Row]) -> Table:
    columns = ["id", "clip", "family", "question", "reference", "answer", "right"]
    return Table(
        columns,
        [
            [
                str(row["id"]),
                Path(row["video"] or "").name,
                row["family"],
                row["question"],
                row["reference"],
                row["prediction"],
                bool(row["right"]),
            ]
            for row in answers.values()
        ],
    )


def _content(answers: Mapping[str, Row], data: VideoTextDataModule, results: Mapping[str, Score]) -> dict[str, Any]:
    benchmarks = {benchmark.description.name: benchmark for benchmark in data.benchmarks_asked()}
    missing = {name: {"missing_clips": len(benchmark.missing)} for name, benchmark in benchmarks.items()}
    groups = {name: scored_benchmark(answers, benchmark) for name, benchmark in benchmarks.items()}
    whole = [question for group in groups.values() for question in group] if groups else scored(answers)
    number = len(whole) if groups else len(data.records("test"))
    return {
        "scores": {
            name: {**asdict(score.interval), "questions": score.questions, "videos": score.videos}
            for name, score in results.items()
        },
        "intervals": HOW_SURE,
        "counts": counts(whole, number)
        | {"missing_clips": sum(len(benchmark.missing) for benchmark in benchmarks.values())},
        "benchmarks": {name: counts(group, len(group)) | missing[name] for name, group in groups.items()},
    }


class BenchmarkReport(Callback):
    """Writes `answers/<split>_benchmarks.json`, and questions with missing clips to `<split>_unanswered.jsonl`."""

    def _write(self, trainer: Trainer, module: LightningModule, split: str) -> None:
        assert isinstance(module, VideoLanguageModel)
        folder = run_folder(trainer)  # all processes must call this
        if folder is None or not isinstance(module.data, VideoQA):
            return
        if not trainer.is_global_zero:
            return
        loaded = module.data.loaded()
        report = json.dumps([benchmark.report() for benchmark in loaded], indent=2, ensure_ascii=False)
        write_whole(folder / ANSWERS / f"{split}_benchmarks.json", report + "\n")
        rows: list[dict[str, Any]] = [
            {
                "id": record.id,
                "family": record.family,
                "question": record.turns[-1].question,
                "reference": record.turns[-1].answer,
                "video": str(record.video),
            }
            for benchmark in loaded
            for record in benchmark.unanswered
        ]
        write_whole(folder / ANSWERS / f"{split}_unanswered.jsonl", json_lines(rows))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files of a test."""
        self._write(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files of a prediction."""
        self._write(trainer, pl_module, "predict")

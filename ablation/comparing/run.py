"""A finished run as a comparison reads it, and the search for runs below folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ablation.comparing.answer_rows import Answered, LeftOutError, Question, read_answered
from ablation.stage_record import kept_config, read_record
from components.yaml_file import parse_yaml
from lightning_modules.runs.folder import CONFIG, ORIGIN, RUN_NAME_PATTERN, STAGE_FILE, SUMMARY
from lightning_modules.scoring.answer_store import AnswerStore
from lightning_modules.scoring.metrics import MEAN, Metric, built_metrics

Verb = Literal["fit", "test"]
Stages = Mapping[str, Mapping[str, Any] | None]  # configurations by stage; None if the stage's folder is gone


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: run folder.
        experiment: name of the experiment, from the folder above.
        seed: seed of the run.
        attempt: number of the attempt: 1 for `seed_0`, 2 for `seed_0.2`.
        config: resolved configuration.
        figures: final figures; empty for a test that was run by itself.
        answered: questions with the marks of their answers.
        scores: content of `test_scores.json`; empty for a run that is older than this file.
        files: config files of the run, the most basic first; empty if unknown.
        metrics: further metrics in the configuration.
        earlier_stages: configurations of the earlier stages in a chain; None if a stage's folder is gone.
    """

    folder: Path
    experiment: str
    seed: int
    attempt: int
    config: Mapping[str, Any]
    figures: Mapping[str, float]
    answered: Answered
    scores: Mapping[str, Any]
    files: tuple[str, ...]
    metrics: Sequence[Metric] = ()
    earlier_stages: Stages = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the run in messages."""
        return f"{self.experiment}/{self.folder.name}"

    @property
    def marks(self) -> Mapping[Question, int]:
        """Marks of the answers, of `answered.full`, for all questions that are not unjudged."""
        return self.answered.marks

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Provenance of the answers; empty if unknown."""
        provenance = self.scores.get("provenance")
        return provenance if isinstance(provenance, Mapping) else {}

    @property
    def scale(self) -> str | None:
        """Name of the last scale file of the run; None if it has none."""
        return last_of("scale", self.files)


def last_of(folder: str, files: Sequence[str]) -> str | None:
    """Return the name of the last config file in a folder of this name; None if there is none."""
    names = [Path(file).stem for file in files if Path(file).parent.name == folder]
    return names[-1] if names else None


def is_run(folder: Path) -> bool:
    """Whether a folder is named like a run, or holds a run's configuration."""
    return RUN_NAME_PATTERN.fullmatch(folder.name) is not None or (folder / CONFIG).is_file()


def read_run(folder: Path, verb: Verb, judge: str | None = None, points: bool = False) -> Run:
    """Read a run folder.

    Args:
        folder: run folder, such as `runs/full/seed_0`.
        verb: kind of the compared runs: trainings, or tests that were run by themselves.
        judge: name of the file of judgements that say what is right; None for the test's own comparison.
        points: whether to take the judge's scores instead.

    Raises:
        LeftOutError: it is not a finished run of this verb, or a file in it cannot be read.
    """
    name = RUN_NAME_PATTERN.fullmatch(folder.name)
    if name is None:
        raise LeftOutError("its name is not that of a run, such as seed_0 or test_seed_0.2")
    run_verb = name["verb"] or "fit"
    if run_verb != verb:
        raise LeftOutError(
            f"it is of {run_verb}" + (f"; --verb {run_verb} compares these" if run_verb in ("fit", "test") else "")
        )
    if not any(folder.iterdir()):
        raise LeftOutError("it is empty")
    config = _mapping(folder / CONFIG)
    if verb == "fit" and not (folder / SUMMARY).is_file():
        raise LeftOutError("it is not finished: there is no summary.json")
    scores = AnswerStore.of_run(folder).scores
    if verb == "test" and not scores.is_file():
        raise LeftOutError("it is not finished: there is no answers/test_scores.json")
    if verb == "fit" and (folder / STAGE_FILE).is_file() and not config.get("test_after_fit", True):
        raise LeftOutError("it is a stage that later ones start from, and was not tested")
    summary = _mapping(folder / SUMMARY) if verb == "fit" else {}
    content = _mapping(scores) if scores.is_file() else {}
    return Run(
        folder=folder,
        experiment=folder.resolve().parent.name,
        seed=int(name["seed"]),
        attempt=int(name["attempt"] or 1),
        config=config,
        figures=_figures(summary.get("figures", {})),
        answered=read_answered(folder, _data_root(config), judge, points, _counted(content)),
        scores=content,
        files=config_files(folder, content),
        metrics=_metrics(config),
        earlier_stages=earlier_stages(folder),
    )


def earlier_stages(folder: Path) -> Stages:
    """Return the configurations of the stages of a chain whose weights a run started from, the last stage first.

    Raises:
        LeftOutError: a record or a configuration cannot be read.
    """
    stages: dict[str, Mapping[str, Any] | None] = {}
    try:
        record = read_record(folder)
        while record is not None and record.starts_from is not None:
            earlier = record.starts_from.folder(folder.resolve().parent.parent)
            kept = (earlier / CONFIG).is_file()
            stages[earlier.parent.name.rpartition("+")[2]] = kept_config(earlier) if kept else None
            record = read_record(earlier) if kept else None
    except ValueError as error:
        raise LeftOutError(str(error)) from None
    return stages


def _counted(scores: dict[str, Any]) -> object:
    """Return the number of answers in the scores of a test."""
    means = scores.get("scores")
    overall = means.get(MEAN) if isinstance(means, dict) else None
    return overall.get("questions") if isinstance(overall, dict) else None


def _metrics(config: Mapping[str, Any]) -> list[Metric]:
    """Return the further metrics in a configuration; old configurations have none."""
    model = config.get("model")
    settings = model.get("metrics") if isinstance(model, dict) else None
    try:
        return built_metrics(settings, "model.metrics of config.yaml") if isinstance(settings, list) else []
    except ValueError as error:
        raise LeftOutError(str(error)) from None


def _mapping(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML or JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else parse_yaml(text)
    except FileNotFoundError:
        raise LeftOutError(f"there is no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise LeftOutError(f"{path.name} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise LeftOutError(f"{path.name} holds {type(content).__name__} and not a mapping")
    return content


def _figures(figures: Any) -> dict[str, float]:
    if not isinstance(figures, dict) or not all(isinstance(value, int | float) for value in figures.values()):
        raise LeftOutError("summary.json has no figures")
    return {str(name): float(value) for name, value in figures.items()}


def _data_root(config: Mapping[str, Any]) -> str:
    """Return the data folder of the machine that the run was made on."""
    data = config.get("data")
    settings = data.get("init_args") if isinstance(data, dict) else None
    return str(settings.get("root") or "") if isinstance(settings, dict) else ""


def config_files(folder: Path, scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the config files of a run, the most basic first; empty if unknown.

    Args:
        folder: run folder.
        scores: content of its `test_scores.json`; empty if it has none.
    """
    provenance = scores.get("provenance")
    names = provenance.get("config_files") if isinstance(provenance, dict) else None
    if isinstance(names, list) and names:
        return tuple(map(str, names))
    origin = folder / ORIGIN
    if not origin.is_file():
        return ()
    lines = origin.read_text(encoding="utf-8", errors="replace").splitlines()
    files = (line.strip() for line in lines if line.startswith("  ") and ": " not in line)
    return tuple(file for file in files if file.endswith((".yaml", ".yml")))


@dataclass(frozen=True)
class LeftOut:
    """A folder that is not compared.

    Attributes:
        folder: folder that is left out.
        reason: reason for it.
    """

    folder: Path
    reason: str


def find_runs(
    folders: Sequence[Path], verb: Verb, judge: str | None = None, points: bool = False
) -> tuple[list[Run], list[LeftOut]]:
    """Return the finished runs, each once, and the folders that are left out.

    Args:
        folders: run folders, folders of an experiment's runs, or folders of these.
        verb: kind of the compared runs: trainings, or tests that were run by themselves.
        judge: name of the judge that says what is right; None for the test's own comparison.
        points: whether to take the judge's scores instead.

    Raises:
        ValueError: a folder does not exist or is not a folder, or there is no finished run.
    """
    runs: dict[Path, Run] = {}
    left_out: dict[Path, LeftOut] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(
                f"{folder} "
                + ("is not a folder" if folder.exists() else "does not exist")
                + "; give run folders, such as"
                " runs/full/seed_0, or folders of runs, such as runs"
            )
        for path in _below(folder):
            if path.resolve() in runs or path.resolve() in left_out:
                continue
            try:
                if not is_run(path):
                    raise LeftOutError("it is not a run and contains none")
                runs[path.resolve()] = read_run(path, verb, judge, points)
            except LeftOutError as error:
                left_out[path.resolve()] = LeftOut(path, str(error))
    if not runs:
        reasons = "; ".join(f"{omitted.folder}: {omitted.reason}" for omitted in list(left_out.values())[:5])
        raise ValueError(f"no finished run in {', '.join(map(str, folders))}" + (f" ({reasons})" if reasons else ""))
    return list(runs.values()), list(left_out.values())


def _below(folder: Path, deeper: int = 2) -> Iterator[Path]:
    """Yield the run folders in a folder, sorted by name, and folders without any."""
    if is_run(folder):
        yield folder
        return
    inside = sorted(filter(_may_hold_runs, folder.iterdir()), key=_by_number) if deeper else []
    if not inside:
        yield folder
    for subfolder in inside:
        yield from _below(subfolder, deeper - 1)


def _may_hold_runs(folder: Path) -> bool:
    """Whether a path is a folder, but not that of the journals of sweeps."""
    return folder.is_dir() and not (folder / ".locks").is_dir()


def _by_number(folder: Path) -> tuple[str, int]:
    """Return the sort key that puts seed_10 after seed_9."""
    name, _, number = folder.name.rpartition("_")
    return (name, int(number)) if number.isdecimal() else (folder.name, -1)

"""A finished run as its folder has it: what was set, what came out, what was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
Stages = Mapping[str, Mapping[str, Any] | None]  # stage -> its configuration; None of one that is gone


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: of the run.
        experiment: name of the folder above.
        seed: of the run.
        attempt: 1 for `seed_0`, 2 for `seed_0.2`.
        config: resolved configuration.
        figures: final ones; none of a test that was run by itself.
        answered: questions, and how good their answers are.
        scores: content of `test_scores.json`; empty of a run that is older than this file.
        files: config files of the run, the most basic first; empty if it does not say.
        metrics: further metrics that its configuration names.
        earlier_stages: stage -> configuration of those that it started from, in a chain; None of one that is gone.
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
    def called(self) -> str:
        """What messages call it."""
        return f"{self.experiment}/{self.folder.name}"

    @property
    def marks(self) -> Mapping[Question, int]:
        """Question -> what its answer has of `answered.full`, of all that have a verdict."""
        return self.answered.marks

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the answers come from; empty if it is not known."""
        known = self.scores.get("provenance")
        return known if isinstance(known, Mapping) else {}

    @property
    def scale(self) -> str | None:
        """Name of the scale file that decided; None if no file of the run is one."""
        return last_of("scale", self.files)


def last_of(folder: str, files: Sequence[str]) -> str | None:
    """Return the name of the last config file that lies in a folder of this name; None if there is none."""
    names = [Path(file).stem for file in files if Path(file).parent.name == folder]
    return names[-1] if names else None


def is_run(folder: Path) -> bool:
    """Whether a folder is called like a run, or has what one has."""
    return RUN_NAME_PATTERN.fullmatch(folder.name) is not None or (folder / CONFIG).is_file()


def read_run(folder: Path, verb: Verb, judge: str | None = None, points: bool = False) -> Run:
    """Read a run folder.

    Args:
        folder: such as `runs/full/seed_0`.
        verb: whether trainings or tests run by themselves are compared.
        judge: whose judgements say what is right, by the name of their file; None: the comparison of the test itself.
        points: whether the judge's scores count instead.

    Raises:
        LeftOutError: it is not a finished run of this verb, or something in it cannot be read.
    """
    named = RUN_NAME_PATTERN.fullmatch(folder.name)
    if named is None:
        raise LeftOutError("its name is not that of a run, such as seed_0 or test_seed_0.2")
    found = named["verb"] or "fit"
    if found != verb:
        raise LeftOutError(
            f"it is of {found}" + (f"; --verb {found} compares these" if found in ("fit", "test") else "")
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
        seed=int(named["seed"]),
        attempt=int(named["attempt"] or 1),
        config=config,
        figures=_figures(summary.get("figures", {})),
        answered=read_answered(folder, _data_root(config), judge, points, _counted(content)),
        scores=content,
        files=config_files(folder, content),
        metrics=_metrics(config),
        earlier_stages=earlier_stages(folder),
    )


def earlier_stages(folder: Path) -> Stages:
    """Return the stages of a chain whose weights a run started from, the last one first.

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
    """Return of how many answers the scores of a test are."""
    found = scores.get("scores")
    whole = found.get(MEAN) if isinstance(found, dict) else None
    return whole.get("questions") if isinstance(whole, dict) else None


def _metrics(config: Mapping[str, Any]) -> list[Metric]:
    """Return the further metrics that a configuration names; older ones name none."""
    model = config.get("model")
    settings = model.get("metrics") if isinstance(model, dict) else None
    try:
        return built_metrics(settings, "model.metrics of config.yaml") if isinstance(settings, list) else []
    except ValueError as error:
        raise LeftOutError(str(error)) from None


def _mapping(path: Path) -> dict[str, Any]:
    """Return what a file of YAML or JSON holds."""
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


def _figures(found: Any) -> dict[str, float]:
    if not isinstance(found, dict) or not all(isinstance(value, int | float) for value in found.values()):
        raise LeftOutError("summary.json has no figures")
    return {str(name): float(value) for name, value in found.items()}


def _data_root(config: Mapping[str, Any]) -> str:
    """Return the folder that this machine has the data in, which is another on another machine."""
    data = config.get("data")
    settings = data.get("init_args") if isinstance(data, dict) else None
    return str(settings.get("root") or "") if isinstance(settings, dict) else ""


def config_files(folder: Path, scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the config files of a run, the most basic first; none if it does not say.

    Args:
        folder: of the run.
        scores: content of its `test_scores.json`; empty if it has none.
    """
    provenance = scores.get("provenance")
    known = provenance.get("config_files") if isinstance(provenance, dict) else None
    if isinstance(known, list) and known:
        return tuple(map(str, known))
    origin = folder / ORIGIN
    if not origin.is_file():
        return ()
    lines = origin.read_text(encoding="utf-8", errors="replace").splitlines()
    files = (line.strip() for line in lines if line.startswith("  ") and ": " not in line)
    return tuple(file for file in files if file.endswith((".yaml", ".yml")))

"""The `README.md` of an exported model: components, training, data, code and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.files import read_object
from lightning_modules.programs.show import RUN, history
from lightning_modules.runs.folder import DIFF, LAST_CHECKPOINT, SUMMARY

if TYPE_CHECKING:
    from lightning_modules.export.trained_run import TrainedRun


def model_card(name: str, run: TrainedRun, components: Mapping[str, str], steps: int) -> str:
    """Return the model card in Markdown; `video-panda show` has further details, from the folder `run` beside it.

    Args:
        name: name of the model.
        run: run that trained it.
        components: class in every slot of the exported model.
        steps: number of optimiser steps.
    """
    trainings = [work for work in history(run.folder) if work["work"] == "fit"]
    last = trainings[-1] if trainings else None
    facts = {
        "run": f"{run.folder.parent.name}/{run.folder.name}",
        "components": ", ".join(dict.fromkeys(components.values())),
        "training": f"steps {steps:,}, seed {run.config['seed_everything']}",
        "data": run.config["data"]["class_path"].rsplit(".", 1)[-1],
    }
    if last is not None:
        facts["data"] += f", manifest sha256 {last['manifest_sha256']}" if last["manifest_sha256"] else ""
        facts["code"] = _code(last["code"])
        facts["machine"] = f"{last['processes']} x {last['device']}, {last['precision']}; {last['began'][:10]}"
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    return "\n".join(
        [
            f"# {name}",
            "",
            "A video-language model of Video-Panda's family, exported from a training run.",
            "",
            *["| | |", "| --- | --- |", *rows, ""],
            *_scores(run),
            "",
            "```sh",
            "python -m lightning test --config config.yaml  # the same test once more; `--config DATA.yaml` for others",
            "video-panda show .                             # all that is known of where it comes from",
            "```",
            "",
        ]
    )


def _code(code: Mapping[str, Any] | None) -> str:
    if code is None:
        return "not of a checkout"
    return f"commit {code['commit']}" + (f", with the changes in `{RUN}/{DIFF}`" if code["changed"] else "")


def _scores(run: TrainedRun) -> Sequence[str]:
    """Return the scores of the test after the training, which are those of its last weights."""
    summary = run.folder / SUMMARY
    if run.checkpoint.name != Path(LAST_CHECKPOINT).name or not summary.is_file():
        return ["These weights have no test scores."]
    figures = read_object(summary)["figures"]
    tested = {figure: value for figure, value in sorted(figures.items()) if figure.startswith("test/")}
    if not tested:
        return ["These weights have no test scores."]
    return ["| score | |", "| --- | --- |", *(f"| {figure} | {value:.4f} |" for figure, value in tested.items())]

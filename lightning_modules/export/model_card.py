"""The `README.md` of an exported model: components, training, data, code, scores, and the licence of its base."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import try_to_load_from_cache

from components.files import read_object
from lightning_modules.programs.show import RUN, history
from lightning_modules.runs.folder import ANSWERS, DIFF, LAST_CHECKPOINT, SUMMARY

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
    facts |= {"base": _base(run), "video-panda": metadata.version("video-panda-lightning")}
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    return "\n".join(
        [
            *[
                "---",
                "library_name: transformers",
                "pipeline_tag: video-text-to-text",
                "tags: [video-panda]",
                "---",
                "",
            ],
            f"# {name}",
            "",
            "A video-language model of Video-Panda's family, exported from a training run.",
            "",
            *["| | |", "| --- | --- |", *rows, ""],
            *_scores(run),
            "",
            "```python",
            "from video_panda import VideoPanda",
            "",
            'VideoPanda.from_pretrained(".").ask("clip.mp4", "What is shown?")  # this folder, or its repository',
            "```",
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


def _base(run: TrainedRun) -> str:
    """Return the language model that the training began with, and the licence that its files state."""
    language_model = run.config["model"]["language_model"]
    kind = language_model["class_path"].rsplit(".", 1)[-1]
    name = language_model["init_args"].get("name_or_path")
    if name is None:
        return f"{kind} of this project, MIT"
    card = Path(name) / "README.md"
    if not card.is_file():
        found = try_to_load_from_cache(name, "README.md") if len(Path(name).parts) == 2 else None
        card = Path(found) if isinstance(found, str) else card
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    licence = re.search(r"^license(?:_name)?: *(\S.*)$", text.partition("\n---")[0], re.MULTILINE)
    # A folder of this machine means nothing to others but for its name.
    shown = Path(name).name if Path(name).exists() or Path(name).is_absolute() else name
    return (
        f"{shown}, {licence[1] if licence else 'whose licence its files do not state'}; it holds for these weights too"
    )


def _scores(run: TrainedRun) -> Sequence[str]:
    """Return the scores of the test after the training, which are those of its last weights."""
    summary = run.folder / SUMMARY
    if run.checkpoint.name != Path(LAST_CHECKPOINT).name or not summary.is_file():
        return ["These weights have no test scores."]
    figures = read_object(summary)["figures"]
    tested = {figure: value for figure, value in sorted(figures.items()) if figure.startswith("test/")}
    if not tested:
        return ["These weights have no test scores."]
    file = run.folder / ANSWERS / "test_scores.json"
    scores = read_object(file)["scores"] if file.is_file() else {}
    rows = []
    for figure, value in tested.items():
        score = scores.get(figure.removeprefix("test/"))
        interval = f"[{score['low']:.4f}, {score['high']:.4f}] | {score['questions']}" if score else " | "
        rows.append(f"| {figure} | {value:.4f} | {interval} |")
    return [
        "| score | | 95 % interval, clustered by video | questions |",
        "| --- | --- | --- | --- |",
        *rows,
    ]

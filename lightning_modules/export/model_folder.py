"""`video-panda export`: a trained run as a model folder that needs neither the run nor what it was built on.

What is in it: `config.yaml`, which `python -m lightning test` takes; `weights.safetensors`; every pretrained part as a
folder of its own format (`language_model/` in that of Hugging Face); `adapter/` in PEFT's format, unless it was merged;
`origin.json`; `run/` with what the run has kept of where it comes from, which `video-panda show` tells; and
`README.md`, for people. `import-official` makes folders of this kind too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.files import read_object
from datamodules.printable import say
from lightning_modules.config.chain import HERE
from lightning_modules.config.redaction import without_secrets
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.export.model_card import model_card
from lightning_modules.programs.show import RUN
from lightning_modules.runs.folder import CONFIG, DIFF, HISTORY, ORIGIN, SUMMARY

if TYPE_CHECKING:
    from lightning_modules.export.trained_run import TrainedModel, TrainedRun

WEIGHTS, FACTS, LANGUAGE_MODEL, ADAPTER = "weights.safetensors", "origin.json", "language_model", "adapter"


def export(source: Path, out: Path, merge: bool = False) -> None:
    """Write the model folder `out`, whole or not at all.

    Args:
        source: run folder, or a checkpoint of one.
        out: a new folder.
        merge: whether the adapter of the language model is worked into its weights.

    Raises:
        ValueError: no such run; its checkpoint does not fit its configuration or the frozen weights that are there
            now; nothing to merge; or `out` is not empty.
    """
    from components.official.folder import new_folder  # here, as below: the parser needs nothing of a model
    from lightning_modules.export.trained_run import find_run, load

    run = find_run(source)
    with new_folder(out) as folder:
        trained = load(run)
        if merge:
            _merge(trained)
        config = run.model_config()
        components = _write_weights(trained, folder, config)
        origin = _origin(run, trained, components)
        (folder / FACTS).write_text(json.dumps(without_secrets(origin), indent=2) + "\n", encoding="utf-8")
        _keep_run(run, folder / RUN)
        card = model_card(out.name, run, components, trained.steps)
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / CONFIG).write_text(_run_config(run, config, out.name), encoding="utf-8")


def _merge(trained: TrainedModel) -> None:
    from components.adapters import NoAdapter

    language_model = trained.model.language_model
    if isinstance(language_model.adapter, NoAdapter):
        raise ValueError("there is no adapter to merge: model.language_model.init_args.adapter of the run is NoAdapter")
    language_model.merge_adapter()


def _write_weights(trained: TrainedModel, folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Write all tensors, change `config` so that it names them, and return the components that read them."""
    from safetensors.torch import save_file

    from components.adapters import NoAdapter

    model = trained.model
    parts = model.frozen_base.parts
    ours = {
        name: tensor.contiguous()
        for name, tensor in (model.state_dict() | trained.head).items()
        if not name.startswith(tuple(f"{path}." for path in parts))
    }
    save_file(ours, folder / WEIGHTS)
    adapter = model.language_model.adapter
    components = trained.components | {"language_model.adapter": type(adapter).__name__}
    if isinstance(adapter, NoAdapter):
        config["language_model"]["init_args"]["adapter"] = "NoAdapter"
    elif LANGUAGE_MODEL in parts:
        _save_adapter(trained, folder / ADAPTER)
        components["language_model.adapter"] = "SavedAdapter"
        config["language_model"]["init_args"]["adapter"] = {
            "class_path": "SavedAdapter",
            "init_args": {"folder": f"{HERE}/{ADAPTER}"},
        }
    for path, part in parts.items():
        slot = _slot(config, path)
        slot["class_path"] = components[path] = part.export(folder / path)
        slot["init_args"]["name_or_path"] = f"{HERE}/{path}"
    return components


def _save_adapter(trained: TrainedModel, folder: Path) -> None:
    """Write the adapter, and that it belongs to the language model beside it, not to the one that it was trained on."""
    trained.model.language_model.save_adapter(folder)
    file = folder / "adapter_config.json"
    config = read_object(file) | {"base_model_name_or_path": LANGUAGE_MODEL}
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _slot(config: dict[str, Any], path: str) -> dict[str, Any]:
    group, *inner = path.split(".")
    slot: dict[str, Any] = config[group]
    for name in inner:
        slot = slot["init_args"][name]
    return slot


def _keep_run(run: TrainedRun, folder: Path) -> None:
    """Copy what the run has kept of where it comes from: a few small texts."""
    folder.mkdir()
    for name in (ORIGIN, HISTORY, DIFF, SUMMARY):
        if (run.folder / name).is_file():
            text = (run.folder / name).read_bytes().decode(errors="surrogateescape")
            (folder / name).write_bytes(without_secrets(text).encode(errors="surrogateescape"))
    config = yaml.safe_dump(without_secrets(run.config), sort_keys=False)
    (folder / CONFIG).write_text(config, encoding="utf-8")


def _origin(run: TrainedRun, trained: TrainedModel, components: dict[str, str]) -> dict[str, Any]:
    origin = run.folder / ORIGIN
    return {
        "components": components,
        # Where on this machine is nothing to tell others.
        "checkpoint": run.checkpoint.absolute().relative_to(run.folder.parent.parent).as_posix(),
        "steps": trained.steps,
        "run": origin.read_text(encoding="utf-8").splitlines() if origin.is_file() else [],
        "config": run.config,
    }


def _run_config(run: TrainedRun, config: dict[str, Any], name: str) -> str:
    content = {
        "name": name,
        "seed_everything": run.config["seed_everything"],
        "init_from": f"{HERE}/{WEIGHTS}",
        "model": config,
        "data": run.config["data"],
        "trainer": {"precision": run.config["trainer"]["precision"]},
    }
    return (
        f"# A trained model, from the run {run.folder.parent.name}/{run.folder.name}.\n"
        "# Set to evaluate: to train on, take out teacher and distillation.\n"
        f"{yaml.safe_dump(content, sort_keys=False)}"
    )


def main(args: Sequence[str]) -> None:
    """Export a run, and say how to use what was written."""
    parser = ProgramParser(
        prog="video-panda export", description="Makes a model folder of a trained run, which needs nothing else."
    )
    parser.add_argument("source", type=Path, help="run folder, or a checkpoint of one")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    parser.add_argument("--merge", action="store_true", help="work an adapter into the language model's weights")
    known = parser.parse_args(args)
    with user_errors():
        export(known.source, known.out, known.merge)
    say(
        f"written to {known.out}; to test it:\n  python -m lightning test --config {known.out / CONFIG}\n"
        "and for data of your own, add --config DATA.yaml"
    )

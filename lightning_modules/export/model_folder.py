"""`video-panda export`: a trained run as a self-contained model folder.

It has `config.yaml`, for `python -m lightning test`; `weights.safetensors`; every pretrained part in a folder of its
own format (`language_model/` in that of Hugging Face); `adapter/` in PEFT's format, unless it was merged;
`origin.json`; `run/`, the run's records of its origin, for `video-panda show`; the model card `README.md`; and the
files by which transformers knows it (`transformers_files`). `import-official` writes such folders too.
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
    """Write the model folder `out` atomically.

    Args:
        source: run folder, or a checkpoint in one.
        out: folder to write, which must be new.
        merge: whether to merge the adapter of the language model into its weights.

    Raises:
        ValueError: there is no such run; its checkpoint does not fit its configuration or the present frozen weights;
            there is no adapter to merge; or `out` is not empty.
    """
    from components.official.folder import new_folder  # imported here, since the parser does not need a model
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
        _write_transformers_files(run, trained, folder)


def _write_transformers_files(run: TrainedRun, trained: TrainedModel, folder: Path) -> None:
    """Write what transformers reads, unless it could not load the model.

    It cannot where a vision transformer is in a folder of its own, or an adapter is among the weights of a toy language
    model.
    """
    from components.adapters import NoAdapter
    from lightning_modules.export.transformers_files import config_content, processor_content, write_transformers_files

    model, parts = trained.model, trained.model.frozen_base.parts
    language_model = model.language_model
    if parts.keys() - {LANGUAGE_MODEL} or not isinstance(language_model.adapter, NoAdapter):
        return
    dtype = next(model.encoder.parameters()).dtype
    adapter = ADAPTER if (folder / ADAPTER).is_dir() else None
    settings, precision = run.config["model"], run.config["trainer"]["precision"]
    config = config_content(settings, language_model.network.config, dtype, precision, adapter)
    processor = processor_content(settings, run.config["data"]["init_args"], language_model.max_length)
    write_transformers_files(folder, config, processor, language_model.text, model.max_new_tokens)


def _merge(trained: TrainedModel) -> None:
    from components.adapters import NoAdapter

    language_model = trained.model.language_model
    if isinstance(language_model.adapter, NoAdapter):
        raise ValueError("there is no adapter to merge: model.language_model.init_args.adapter of the run is NoAdapter")
    language_model.merge_adapter()


def _write_weights(trained: TrainedModel, folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Write all tensors, set their paths in `config`, and return the components that read them."""
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
    """Write the adapter, with the exported language model as its base instead of the one it was trained on."""
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
    """Copy the run's records of its origin, a few small text files."""
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
        # Without the absolute path, which is of no use to others.
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
    """Export a run, and print how to use the model folder."""
    parser = ProgramParser(
        prog="video-panda export", description="Makes a model folder of a trained run, which needs nothing else."
    )
    parser.add_argument("source", type=Path, help="run folder, or a checkpoint of one")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    parser.add_argument("--merge", action="store_true", help="work an adapter into the language model's weights")
    options = parser.parse_args(args)
    with user_errors():
        export(options.source, options.out, options.merge)
    say(
        f"written to {options.out}; to test it:\n  python -m lightning test --config {options.out / CONFIG}\n"
        "and for data of your own, add --config DATA.yaml"
    )

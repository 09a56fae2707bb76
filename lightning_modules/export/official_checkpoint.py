"""`video-panda import-official`, `import-eve`, `import-video-llava`, `import-video-chatgpt`, and `export-official`.

Conversions of released checkpoints to model folders, and back.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from components.language_models.language_model import longest_sequence
from components.language_models.prompt import VideoPandaV1
from components.language_models.text import ChatText
from components.official.baselines import import_video_chatgpt, import_video_llava
from components.official.eve import import_eve
from components.official.exporting import export_official, is_imported
from components.official.folder import read_json
from components.official.importing import import_official
from datamodules.printable import say
from lightning_modules.config.chain import read_config
from lightning_modules.config.difference import difference
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.export.model_folder import FACTS, LANGUAGE_MODEL
from lightning_modules.export.trained_run import model_parser
from lightning_modules.export.transformers_files import config_content, processor_content, write_transformers_files

# What configs/scale/paper.yaml and a file of configs/data set together, for a folder that is loaded without these.
PAPER_DATA = {"canvas": 448, "sampler": {"class_path": "UniformSampler", "init_args": {"frames": 8}},
              "shown_frames": "TrueFrames"}  # fmt: skip
PAPER_NEW_TOKENS = 128
_TEXT_AND_STORAGE = ("name_or_path", "prompt", "dtype", "attention", "gradient_checkpointing", "quantization")


def _folders(program: str, about: str, source: str, args: Sequence[str]) -> tuple[Path, Path]:
    parser = ProgramParser(prog=f"video-panda {program}", description=about)
    parser.add_argument("source", type=Path, help=source)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    options = parser.parse_args(args)
    return options.source, options.out


def check_full_model(folder: Path) -> None:
    """Refuse a model that differs from the official one in its components or their options.

    Raises:
        ValueError: the model differs; or `folder` is not a model folder written by `export`.
    """
    trained = read_json(folder / FACTS)["config"]["model"]
    ours = {**read_config(folder / "config.yaml")["model"], "distillation": trained["distillation"]}
    official = ours | {
        "encoder": _official(ours["encoder"], "STAB", ("width", "patch_size", "dropout")),
        "projector": "MLPProjector",
        "language_model": _official(ours["language_model"], "PretrainedCausalLM", _TEXT_AND_STORAGE),
        "distillation": _official(trained["distillation"], trained["distillation"]["class_path"], ("weight",)),
    }
    local_encoding = ours["encoder"].get("init_args", {}).get("local_encoding", {})
    statistics = local_encoding.get("init_args", {}).get("statistics")
    if statistics is not None:  # without influence outside of training
        official["encoder"]["init_args"]["local_encoding"] = {
            "class_path": "LSTE",
            "init_args": {"statistics": statistics},
        }
    official["language_model"]["init_args"].setdefault("name_or_path", "")  # another class may not have it
    parser = model_parser()
    actual, expected = (parser.parse_object({"model": model}).as_dict() for model in (ours, official))
    different = difference(actual, expected)
    if different:
        raise ValueError(f"{folder} is not the official model (official -> here): {'; '.join(different)}")


def _official(slot: Mapping[str, Any], component: str, free: Sequence[str]) -> dict[str, Any]:
    """Return the official component for a slot, with our values of the options that the format leaves free."""
    options = slot.get("init_args", {})
    return {"class_path": component, "init_args": {name: options[name] for name in free if name in options}}


def main_import(args: Sequence[str]) -> None:
    """Import an official checkpoint; print what was done with its keys and how to use the result."""
    about = "Makes a model folder of an official checkpoint."
    source, out = _folders("import-official", about, "folder with config.json, weights and tokenizer", args)
    with user_errors():
        report = import_official(source, out, _describe_official)
    _say(report.lines(), out, "to test it", "python -m lightning test")


def _describe_official(folder: Path) -> None:
    """Write the files by which transformers knows an imported model, with the paper's settings of clips and answers."""
    model = read_config(folder / "config.yaml")["model"]
    text_config = AutoConfig.from_pretrained(folder / LANGUAGE_MODEL)
    text_config.dtype = torch.float32  # as PretrainedCausalLM holds it
    text = ChatText(AutoTokenizer.from_pretrained(folder / LANGUAGE_MODEL, config=text_config), VideoPandaV1())
    config = config_content(model, text_config, torch.float32, "bf16-mixed")
    processor = processor_content(model, PAPER_DATA, longest_sequence(text_config))
    write_transformers_files(folder, config, processor, text, PAPER_NEW_TOKENS)


def main_import_eve(args: Sequence[str]) -> None:
    """Import the vision part of EVE; print what was done with its keys and how to train from the result."""
    about = "Makes a folder to start a training from EVE's vision part and language model."
    source, out = _folders("import-eve", about, "folder with config.json, weights and tokenizer", args)
    with user_errors():
        report = import_eve(source, out)
    _say(report.lines(), out, f"to start from it, and from the language model in {source}", "video-panda chain")


def main_import_video_llava(args: Sequence[str]) -> None:
    """Import a released Video-LLaVA; print what was done with its keys and how to use the result."""
    about = "Makes a model folder of a released Video-LLaVA."
    source, out = _folders("import-video-llava", about, "folder with config.json, weights and tokenizer", args)
    with user_errors():
        report = import_video_llava(source, out)
    _say(report.lines(), out, "to test it", "python -m lightning test", "experiments/video_llava.yaml")


def main_import_video_chatgpt(args: Sequence[str]) -> None:
    """Import a released Video-ChatGPT; print what was done with its keys and how to use the result."""
    parser = ProgramParser(
        prog="video-panda import-video-chatgpt", description="Makes a model folder of a released Video-ChatGPT."
    )
    parser.add_argument("source", type=Path, help="folder of the LLaVA that it is based on")
    parser.add_argument("--projection", type=Path, required=True, help="its file of weights, as video_chatgpt-7B.bin")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    options = parser.parse_args(args)
    with user_errors():
        report = import_video_chatgpt(options.source, options.projection, options.out)
    _say(report.lines(), options.out, "to test it", "python -m lightning test", "experiments/video_chatgpt.yaml")


def _say(
    lines: Sequence[str], out: Path, purpose: str, command: str, experiment: str = "experiments/full.yaml"
) -> None:
    """Print the report of an import, and the command that uses the result."""
    configs = (experiment, "configs/scale/paper.yaml", out / "config.yaml", "DATA.yaml")
    use = f"  {command} {' '.join(f'--config {config}' for config in configs)}"
    say("\n".join([*lines, f"written to {out}; {purpose}:", use]))


def main_export(args: Sequence[str]) -> None:
    """Write a model folder in the official format."""
    about = "Makes an official checkpoint of a model folder: of one that was imported, or an exported full model."
    source, out = _folders("export-official", about, "model folder", args)
    with user_errors():
        if not is_imported(source):
            check_full_model(source)
        count = export_official(source, out)
    say(f"{count} tensors written to {out}")

"""Imports the released checkpoint into a folder from which a run starts with `--config DIR/config.yaml`.

The folder has `language_model/` in the Hugging Face format, `weights.safetensors` with everything else, `config.yaml`,
and in `official/` the data needed to write the official format again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from components.distillation import CosineDistillation
from components.encoders import STAB
from components.language_models.eve_causal_lm import llama_config
from components.official.folder import FolderError, new_folder, read_config, read_tensors, write_model
from components.official.names import to_ours
from components.projectors import MLPProjector

# Every tensor of the vision part is stored under two names.
ALIASES = {"model.vision_tower.": "model.video_tower.", "model.mm_projector.": "model.video_projector."}
_VISION = ("model.video_tower.", "model.video_projector.", "model.video_tower_compressor.")
_LANGUAGE_MODEL = ("model.embed_tokens.", "model.layers.", "model.norm.", "lm_head.")
_TEACHER = ("model.video_teacher.",)
_COMPUTED = ".rotary_emb.inv_freq"


@dataclass(frozen=True)
class ImportReport:
    """The use of the official keys.

    Attributes:
        loaded: imported keys of the vision part.
        language_model: imported keys of the language model.
        aliases: second names of the vision part, with the same values.
        unused: keys that the official model stores but does not use or computes again, kept for the export.
    """

    loaded: tuple[str, ...]
    language_model: tuple[str, ...]
    aliases: tuple[str, ...]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return one line of text for each kind of keys."""
        groups = sorted({".".join(key.split(".")[1:3]) for key in self.unused})
        return [
            f"vision part: {len(self.loaded)} tensors",
            f"language model: {len(self.language_model)} tensors",
            f"second names of the vision part (vision_tower, mm_projector): {len(self.aliases)} tensors",
            f"unused, kept for the way back: {len(self.unused)} tensors{': ' if groups else ''}{', '.join(groups)}",
        ]


def import_official(source: Path, out: Path, describe: Callable[[Path], None] = lambda folder: None) -> ImportReport:
    """Write the model folder `out` for the official checkpoint in `source`.

    Args:
        source: folder with config.json, weights and tokenizer.
        out: new folder.
        describe: writes further files into the folder, which is complete but for these.

    Raises:
        FolderError: `source` is not a folder with an official checkpoint, or `out` is not empty.
        ValueError: keys are unknown, missing or of another shape; nothing is written then.
    """
    with new_folder(out) as folder:
        report = _import(source, folder)
        describe(folder)
    return report


def _import(source: Path, out: Path) -> ImportReport:
    config = read_config(source)
    if "video_hidden_size" not in config:
        raise FolderError(
            f"{source / 'config.json'} is of another family (model_type {config.get('model_type')!r}): a released "
            "Video-Panda has video_hidden_size there"
        )
    tensors = read_tensors(source)
    keys = list(tensors)
    aliases = _check_aliases(tensors)
    language_model, language_config = llama_part(config, tensors)
    vision = {key: tensor for key, tensor in tensors.items() if key.startswith(_VISION)}
    unknown = tensors.keys() - vision.keys() - language_model.keys() - set(aliases)
    computed = {key for key in unknown if key.startswith(_TEACHER) or key.endswith(_COMPUTED)}
    if unknown - computed:
        raise ValueError(f"{source} holds keys that are not explained: {', '.join(sorted(unknown - computed)[:5])}")
    short = {key.removeprefix("model.").removeprefix("video_tower."): key for key in vision}
    ours, report = to_ours(
        {name: vision[key] for name, key in short.items()},
        our_shapes(
            config | language_config,
            vision.get("model.video_tower.patch_embedding.weight"),
            vision.get("model.video_tower_compressor.input_layer.weight"),
        ),
    )
    unused = [*(short[name] for name in report.unused), *sorted(computed)]

    write_model(out / "language_model", language_config, language_model, source)
    save_file({name: tensor.clone().contiguous() for name, tensor in ours.items()}, out / "weights.safetensors")
    official = out / "official"
    official.mkdir()
    (official / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (official / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    save_file({key: tensors[key].clone().contiguous() for key in unused}, official / "unused.safetensors")
    (out / "config.yaml").write_text(_run_config(config), encoding="utf-8")
    return ImportReport(
        tuple(short[name] for name in report.loaded), tuple(language_model), tuple(aliases), tuple(unused)
    )


def _check_aliases(tensors: dict[str, Tensor]) -> list[str]:
    """Return the second names in `tensors`, which must equal the first ones; missing first names are added."""
    aliases = []
    for second, first in ALIASES.items():
        for key in [key for key in tensors if key.startswith(second)]:
            same = first + key.removeprefix(second)
            if same in tensors and not torch.equal(tensors[key], tensors[same]):
                raise ValueError(f"{key} and {same} are two names of one tensor, but their values differ")
            tensors.setdefault(same, tensors[key])
            aliases.append(key)
    return aliases


def llama_part(config: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the configuration of the language model, a Llama.

    Raises:
        ValueError: tensors are missing, unknown or of another shape.
    """
    llama = llama_config(config)
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in LlamaForCausalLM(llama).state_dict().items()}
    part = {
        key: tensor
        for key, tensor in tensors.items()
        if key.startswith(_LANGUAGE_MODEL) and not key.endswith(_COMPUTED)
    }
    wrong = sorted(part.keys() ^ expected.keys())
    wrong += [key for key in sorted(part.keys() & expected.keys()) if part[key].shape != expected[key]]
    if wrong:
        raise ValueError(
            f"{len(wrong)} tensors of the language model do not fit config.json (missing, too many, or of another "
            f"shape): {', '.join(wrong[:5])}"
        )
    return part, llama.to_dict() | {"architectures": ["LlamaForCausalLM"]}


def our_shapes(config: dict[str, Any], patch: Tensor | None, head: Tensor | None) -> dict[str, torch.Size]:
    """Return the shapes of the tensors of our vision part, by name.

    Args:
        config: configuration of the checkpoint.
        patch: weight of its patch embedding.
        head: weight of the first layer of its distillation head; None for a checkpoint without a head.
    """
    width = config["video_hidden_size"]
    with torch.device("meta"):
        parts = nn.ModuleDict(
            {
                "encoder": STAB(width, patch.shape[-1] if patch is not None else 14),
                "projector": MLPProjector(width, config["hidden_size"]),
            }
        )
        if head is not None:
            parts["distillation"] = CosineDistillation(
                config["hidden_size"], config["num_hidden_layers"], head.shape[0]
            )
    return {name: tensor.shape for name, tensor in parts.state_dict().items()}


def _run_config(config: dict[str, Any]) -> str:
    statistics = {"class_path": "LSTE", "init_args": {"statistics": "ClipStatistics"}}
    content = {
        "init_from": "${here}/weights.safetensors",
        "model": {
            "encoder": {
                "class_path": "STAB",
                "init_args": {"width": config["video_hidden_size"], "local_encoding": statistics},
            },
            "projector": "MLPProjector",
            "teacher": "NoTeacher",
            "distillation": "NoDistillation",
            "language_model": {
                "class_path": "PretrainedCausalLM",
                "init_args": {"name_or_path": "${here}/language_model", "prompt": "VideoPandaV1"},
            },
        },
    }
    return (
        "# An official checkpoint: goes on top of experiments/full.yaml and configs/scale/paper.yaml.\n"
        "# Set to evaluate: to train on, take out teacher and distillation, and set the prompt to VicunaV1.\n"
        f"{yaml.safe_dump(content, sort_keys=False)}"
    )

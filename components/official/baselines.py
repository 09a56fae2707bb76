"""Imports released Video-LLaVA and Video-ChatGPT models into folders from which a test starts with `--config`.

Such a folder has `language_model/` in the Hugging Face format, `weights.safetensors` with projector and tower, and
`config.yaml`, which is used on top of the experiment of that baseline and `configs/scale/paper.yaml`. The layouts
follow the official code and its keys; they were not tested with the released files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer

from components.language_models.prompt import VIDEO_CHATGPT_TOKENS
from components.official.folder import FolderError, new_folder, read_config, read_tensors, read_weights, write_model
from components.official.importing import llama_part
from components.vision_transformers.checkpoint import our_layout, our_name

_PROJECTOR = "model.mm_projector."
_VIDEO_TOWER = "model.video_tower.video_tower."
_IMAGE_TOWER = "model.image_tower."
_VISION_TOWER = "model.vision_tower."
_WITHOUT_EFFECT = ("embeddings.position_ids", "post_layernorm.")  # a counter, and the norm after the last layer


@dataclass(frozen=True)
class BaselineReport:
    """The use of the official keys.

    Attributes:
        projector: imported keys of the projector.
        tower: imported keys of the tower; empty if the tower is loaded by its name.
        language_model: imported keys of the language model.
        unused: keys that are not imported: those of the image tower, and those without effect.
    """

    projector: tuple[str, ...]
    tower: tuple[str, ...]
    language_model: tuple[str, ...]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return one line of text for each kind of keys."""
        return [
            f"projector: {len(self.projector)} tensors",
            f"tower: {len(self.tower)} tensors"
            if self.tower
            else "tower: none in it, loaded by the name in config.json",
            f"language model: {len(self.language_model)} tensors",
            f"not used here: {len(self.unused)} tensors",
        ]


def import_video_llava(source: Path, out: Path) -> BaselineReport:
    """Write the model folder `out` for a released Video-LLaVA.

    Args:
        source: folder with config.json, weights and tokenizer.
        out: new folder.

    Raises:
        FolderError: `source` is not a folder with a Video-LLaVA, or `out` is not empty.
        ValueError: keys are unknown, missing or of another shape; nothing is written then.
    """
    config = read_config(source)
    if "mm_video_tower" not in config or config.get("mm_projector_type") != "mlp2x_gelu":
        raise FolderError(
            f"{source / 'config.json'} is of another family (model_type {config.get('model_type')!r}): a Video-LLaVA "
            "has mm_video_tower and the mm_projector_type mlp2x_gelu there"
        )
    tensors = read_tensors(source)
    language_model, language_config = llama_part(config, tensors)
    names = {"0.": "projector.layers.0.", "2.": "projector.layers.2."}
    projector = _projector(tensors, names, source)
    tower: dict[str, str] = {}
    layers = 0
    for key in tensors:
        if not key.startswith(_VIDEO_TOWER):
            continue
        inside = key.removeprefix(_VIDEO_TOWER).removeprefix("vision_model.")
        name, layer = our_name(inside)
        layers = max(layers, layer + 1)
        if name:
            tower[key] = name
    unused = [
        key
        for key in tensors
        if key.startswith(_IMAGE_TOWER)
        or (key.startswith(_VIDEO_TOWER) and any(f".{part}" in f".{key}" for part in _WITHOUT_EFFECT))
    ]
    _check_all_known(source, tensors, {*projector, *tower, *language_model, *unused})
    ours = {name: tensors[key] for key, name in projector.items()}
    ours |= {f"encoder.tower.{name}": our_layout(name, tensors[key]) for key, name in tower.items()}
    pretrained = {"name_or_path": config["mm_video_tower"], **({"stored_layers": layers} if tower else {})}
    model = {
        "encoder": _encoder("LanguageBindVideo", "PretrainedLanguageBind", pretrained),
        "language_model": _language_model("VicunaV1"),
    }
    with new_folder(out) as folder:
        write_model(folder / "language_model", language_config, language_model, source)
        _write(folder, ours, model, "experiments/video_llava.yaml")
    return BaselineReport(tuple(projector), tuple(tower), tuple(language_model), tuple(unused))


def import_video_chatgpt(source: Path, projection: Path, out: Path) -> BaselineReport:
    """Write the model folder `out` for a released Video-ChatGPT, which replaces projector and embeddings of a LLaVA.

    Its tokenizer has three more tokens than that of the LLaVA. The official code initialises their rows of the output
    layer randomly; here they are the mean of the other rows, and so are their embeddings if the file has none.

    Args:
        source: folder of the LLaVA, with config.json, weights and tokenizer.
        projection: released weight file of Video-ChatGPT.
        out: new folder.

    Raises:
        FolderError: `source` or `projection` is not what it should be, or `out` is not empty.
        ValueError: keys are unknown, missing or of another shape; nothing is written then.
    """
    config = read_config(source)
    tensors = read_tensors(source)
    released = {
        key if key.startswith(("model.", "lm_head.")) else f"model.{key}": tensor
        for key, tensor in read_weights(projection).items()
    }
    language_model, language_config = llama_part(config, tensors)
    projector = _projector(released, {"": "projector.linear."}, projection)
    rows = {name: released[name] for name in ("model.embed_tokens.weight", "lm_head.weight") if name in released}
    _check_all_known(projection, released, {*projector, *rows})
    unused = [key for key in tensors if key.startswith((_PROJECTOR, _VISION_TOWER))]
    _check_all_known(source, tensors, {*language_model, *unused})

    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_tokens(list(VIDEO_CHATGPT_TOKENS), special_tokens=True)
    words = len(tokenizer)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        old = language_model[name]
        new = rows.get(name, torch.cat([old, old.float().mean(0).to(old.dtype).expand(max(0, words - len(old)), -1)]))
        if new.shape != (words, old.shape[1]):
            raise ValueError(
                f"{name} has shape {list(new.shape)} in {projection}, but the tokenizer of {source} and the "
                f"{len(VIDEO_CHATGPT_TOKENS)} tokens for clips ask for {[words, old.shape[1]]}"
            )
        language_model[name] = new
    ours = {name: released[key] for key, name in projector.items()}
    pretrained = {"name_or_path": config.get("mm_vision_tower", "openai/clip-vit-large-patch14")}
    model = {
        "encoder": _encoder("CLIPFrames", "PretrainedCLIP", pretrained),
        "language_model": _language_model("VideoChatGPTV1"),
    }
    with new_folder(out) as folder:
        write_model(folder / "language_model", language_config | {"vocab_size": words}, language_model, source)
        tokenizer.save_pretrained(folder / "language_model")
        _write(folder, ours, model, "experiments/video_chatgpt.yaml")
    return BaselineReport(tuple(projector), (), tuple(language_model), tuple(unused))


def _projector(tensors: dict[str, Tensor], names: dict[str, str], source: Path) -> dict[str, str]:
    """Return our names of a projector's weights and biases, by official key."""
    our_names = {
        f"{_PROJECTOR}{theirs}{kind}": ours + kind for theirs, ours in names.items() for kind in ("weight", "bias")
    }
    missing = sorted(our_names.keys() - tensors.keys())
    if missing:
        raise ValueError(f"{source} has no {', '.join(missing)}")
    return our_names


def _check_all_known(source: Path, tensors: dict[str, Tensor], known_keys: set[str]) -> None:
    unknown = sorted(key for key in tensors.keys() - known_keys if not key.endswith(".rotary_emb.inv_freq"))
    if unknown:
        raise ValueError(f"{source} holds {len(unknown)} keys that are not explained: {', '.join(unknown[:5])}")


def _encoder(encoder: str, tower: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": encoder, "init_args": {"tower": {"class_path": tower, "init_args": settings}}}


def _language_model(prompt: str) -> dict[str, Any]:
    settings = {"name_or_path": "${here}/language_model", "prompt": prompt}
    return {"class_path": "PretrainedCausalLM", "init_args": settings}


def _write(folder: Path, tensors: dict[str, Tensor], model: dict[str, Any], experiment: str) -> None:
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "weights.safetensors")
    content = {"init_from": "${here}/weights.safetensors", "model": model}
    (folder / "config.yaml").write_text(
        f"# An official checkpoint: goes on top of {experiment} and configs/scale/paper.yaml.\n"
        f"{yaml.safe_dump(content, sort_keys=False)}",
        encoding="utf-8",
    )

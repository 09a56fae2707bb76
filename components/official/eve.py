"""Imports the vision part of an EVE checkpoint, from which the official training of Video-Panda starts.

EVE (arXiv 2406.11832) encodes an image as Video-Panda encodes a frame: patch embedding, LSD, FSRA, row tokens,
projector and distillation head are the same parts. LSTE, GSTRA and the fusion have no counterpart in EVE.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml
from safetensors.torch import save_file
from torch import Tensor

from components.official.folder import FolderError, new_folder, read_config, read_tensors
from components.official.importing import our_shapes
from components.official.names import our_names, to_ours

# The prefixes of the released Video-Panda, which `to_ours` reads, by those of EVE.
_PREFIXES = {
    "model.vision_tower.": "",
    "model.mm_projector.": "video_projector.",
    "model.vision_tower_compressor.": "video_tower_compressor.",
}


@dataclass(frozen=True)
class EVEReport:
    """The use of the tensors.

    Attributes:
        loaded: imported tensors of the vision part.
        unused: tensors of the vision part without a counterpart here.
    """

    loaded: tuple[str, ...]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return one line of text for each kind of tensors."""
        unused = f": {', '.join(self.unused)}" if self.unused else ""
        return [
            f"vision part: {len(self.loaded)} tensors",
            f"vision part, without a counterpart here: {len(self.unused)} tensors{unused}",
        ]


def import_eve(source: Path, out: Path) -> EVEReport:
    """Write a folder from which a training starts: the vision part under our names, and a config.

    The language model is not copied; `EVECausalLM` reads it from `source`.

    Raises:
        FolderError: `source` is not a folder with a checkpoint of EVE, or `out` is not empty.
        ValueError: tensors have other shapes than our parts; nothing is written then.
    """
    config = read_config(source)
    if config.get("model_type") != "eve" or "mm_hidden_size" not in config:
        raise FolderError(
            f"{source / 'config.json'} has model_type {config.get('model_type')!r}, not 'eve' with an mm_hidden_size"
        )
    vision = {
        short + key.removeprefix(prefix): tensor
        for key, tensor in read_tensors(source).items()
        for prefix, short in _PREFIXES.items()
        if key.startswith(prefix)
    }
    shared = {key: tensor for key, tensor in vision.items() if our_names(key)}
    shapes = our_shapes(
        config | {"video_hidden_size": config["mm_hidden_size"]},
        shared.get("patch_embedding.weight"),
        shared.get("video_tower_compressor.input_layer.weight"),
    )
    shared_names = {name for key in shared for name in our_names(key)}
    ours, report = to_ours(shared, {name: shape for name, shape in shapes.items() if name in shared_names})
    with new_folder(out) as folder:
        _write(folder, ours, source)
    return EVEReport(report.loaded, tuple(sorted((vision.keys() - shared.keys()) | {*report.unused, *report.absent})))


def _write(folder: Path, tensors: dict[str, Tensor], source: Path) -> None:
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "weights.safetensors")
    language_model = {
        "class_path": "EVECausalLM",
        "init_args": {"name_or_path": str(source.resolve()), "prompt": "VicunaV1"},
    }
    content = {
        "init_from": "${here}/weights.safetensors",
        "init_partially": True,  # LSTE, GSTRA and the fusion start from their initialisation
        "model": {"language_model": language_model},
    }
    (folder / "config.yaml").write_text(
        "# Training from EVE, its vision part too: goes on top of an experiment and configs/scale/paper.yaml.\n"
        f"{yaml.safe_dump(content, sort_keys=False)}",
        encoding="utf-8",
    )

"""InternVideo2 as a teacher."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from components.model_files import read_weight_file, why
from components.published import only_sizes
from components.teachers.internvideo2_vit import InternVideo2ViT
from components.teachers.teacher import LoadedTeacher, Untrained, VideoTeacher, layers_needed

# The number of heads, by width, of the published sizes (1B and 6B); the weights do not determine it.
HEADS_OF_WIDTH = {1408: 16, 3200: 25}
_BLOCK = re.compile(r"blocks\.(\d+)\.")
# Parts that only the published training needs.
_TRAINING_ONLY = ("clip_decoder.", "clip_projector.", "clip_pos_embed", "clip_img_pos_embed", "final_clip_decoder.")
# Tensors from which the sizes are read, or which other vision transformers do not have.
_CHARACTERISTIC = (
    "patch_embed.proj.weight",
    "pos_embed",
    "img_pos_embed",
    "blocks.0.attn.q_norm.weight",
    "blocks.0.mlp.fc1.weight",
)
_UNTRAINED_FRAMES = 8
# The published 1B, with which costs are counted on the meta device.
_SIZES_1B = Untrained(width=1408, layers=40, heads=16, patch_size=14)
_HIDDEN_1B = 6144


class InternVideo2Teacher(VideoTeacher):
    """InternVideo2's vision encoder after stage 2 (paper table 10, "InternVideo v2").

    The paper does not say which size; 1B and 6B are supported. Network and names follow the published ones, but the
    features were not compared with those of the published weights. `weights` is the published file, or a folder with it
    as the only .pt, .pth, .bin or .safetensors file. It must be set, since it cannot be downloaded as a model of
    transformers.
    """

    pixel_mean = (0.485, 0.456, 0.406)  # of ImageNet
    pixel_std = (0.229, 0.224, 0.225)

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, whose position embeddings are interpolated to the canvas."""
        if weights is None and not only_sizes():
            raise ValueError(
                "model.teacher.init_args.weights is not set; InternVideo2Teacher needs the path of the published file "
                "(stage 2, 1B or 6B) or of a folder with it, for it is no model that is fetched by name"
            )
        if isinstance(weights, Untrained):
            network = _random(weights, 4 * weights.width, layer, canvas)
        elif weights is None or only_sizes():
            network = _random(_SIZES_1B, _HIDDEN_1B, layer, canvas)
        else:
            network = _network(_vision_tensors(_read(Path(weights))), layer, Path(weights))
        width, _, _, patch_size, _ = network.patch_embed.proj.weight.shape
        return LoadedTeacher(network, width, patch_size, canvas)

    def tokens(
        self, clips: Float[Tensor, "clips frames 3 canvas canvas"]
    ) -> Float[Tensor, "clips frames patches width"]:
        """Return the features of the patches."""
        hidden: Tensor = self.network(clips)
        return hidden


def _random(sizes: Untrained, hidden: int, layer: int, canvas: int) -> InternVideo2ViT:
    return InternVideo2ViT(
        sizes.width,
        layers_needed(layer, sizes.layers),
        sizes.heads,
        hidden,
        sizes.patch_size,
        _UNTRAINED_FRAMES,
        canvas // sizes.patch_size,
    )


def _read(path: Path) -> Mapping[str, object]:
    where = f"model.teacher.init_args.weights: {path}"
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".pt", ".pth", ".bin", ".safetensors"))
    if len(files) != 1 or not files[0].is_file():
        raise ValueError(
            f"{where} must be the weights of InternVideo2, or a folder with one file of weights; found: "
            f"{', '.join(file.name for file in files if file.is_file()) or 'nothing'}"
        )
    try:
        content = read_weight_file(files[0])
    except ValueError as error:
        raise ValueError(f"{where} cannot be used: {error}") from error
    for wrapper in ("model", "module"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} holds {type(content).__name__}, not tensors by name")
    return content


def _vision_tensors(content: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the tensors of the vision encoder by their names, from a whole stage-2 model or only the encoder."""
    prefix = "vision_encoder."
    if not any(name.startswith(prefix) for name in content):
        prefix = ""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in content.items()
        if name.startswith(prefix)
        and isinstance(tensor, Tensor)
        and not name.removeprefix(prefix).startswith(_TRAINING_ONLY)
    }


def _network(tensors: dict[str, Tensor], layer: int, path: Path) -> InternVideo2ViT:
    """Build the network of the tensors, as far as `layer` needs it, and load them."""
    where = f"model.teacher.init_args.weights: {path}"
    missing = [name for name in _CHARACTERISTIC if name not in tensors]
    if missing:
        raise ValueError(f"{where} does not hold InternVideo2's vision encoder; missing: {', '.join(missing)}")
    width, _, tubelet, patch_size, _ = tensors["patch_embed.proj.weight"].shape
    if width not in HEADS_OF_WIDTH or tubelet != 1:
        raise ValueError(
            f"{where} has width {width} and patches over {tubelet} frames; known are widths "
            f"{' and '.join(map(str, HEADS_OF_WIDTH))} with patches of one frame"
        )
    layers = 1 + max(int(block[1]) for name in tensors if (block := _BLOCK.match(name)))
    kept = layers_needed(layer, layers)
    patches = tensors["img_pos_embed"].shape[1] - 1
    with torch.device("meta"):
        network = InternVideo2ViT(
            width,
            kept,
            HEADS_OF_WIDTH[width],
            tensors["blocks.0.mlp.fc1.weight"].shape[0],
            patch_size,
            (tensors["pos_embed"].shape[1] - 1) // patches,
            round(patches**0.5),
        )
    wanted = {
        name: tensor.float()
        for name, tensor in tensors.items()
        if not ((block := _BLOCK.match(name)) and int(block[1]) >= kept)
    }
    try:
        network.load_state_dict(wanted, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{where} does not fit InternVideo2's vision encoder: {why(error)}") from error
    return network

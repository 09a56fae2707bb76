"""LanguageBind's video transformer as a teacher: the paper's."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from components.groups import Groups
from components.teachers.teacher import LoadedTeacher, Teacher, Untrained, layers_needed
from components.vision_transformers import LanguageBindViT, PretrainedLanguageBind
from components.vision_transformers.checkpoint import read_architecture

RELEASED = "LanguageBind/LanguageBind_Video_merge"


class LanguageBindTeacher(Teacher):
    """LanguageBind for video (paper section 4.1 and table 10, "LanguageBind"; arXiv 2310.01852).

    It knows 8 points in time, so a longer clip is shown to it in pieces of 8 frames, the last one with what is left.
    (Official: pieces of 4 frames are handed over, which the network joins to 8 again.) The input of the first layer,
    `layer: 0`, cannot be had from this network, and pretrained weights know one canvas only (224).
    """

    network: LanguageBindViT

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network.

        Raises:
            ValueError: the weights cannot be used or are for another canvas, or there is no such layer.
        """
        weights = RELEASED if weights is None else weights
        network = _untrained(weights, layer, canvas) if isinstance(weights, Untrained) else _pretrained(weights, layer)
        in_patches = canvas >= network.patch_size and canvas % network.patch_size == 0  # every teacher refuses others
        if in_patches and network.image_size != canvas:
            raise ValueError(
                f"model.teacher.init_args.canvas is {canvas}; the weights {weights!r} know the positions of frames of "
                f"{network.image_size} pixels only"
            )
        return LoadedTeacher(network, network.width, network.patch_size, canvas)

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames, each with those of its piece in view."""
        longest = self.network.frames
        pieces = [min(longest, count - first) for count in frame_counts for first in range(0, count, longest)]
        clips = Groups.of_sizes(torch.tensor(pieces)).to(pixels.device)
        features: Tensor = self.network(pixels, clips)[:, 1:].unflatten(1, self.grid)
        return features


def _output_layer(layer: int, layers: int) -> int:
    needed = layers_needed(layer, layers)
    if needed == 0:
        raise ValueError(f"model.teacher.init_args.layer is {layer}; LanguageBind's features begin with layer 1")
    return needed


def _untrained(sizes: Untrained, layer: int, canvas: int) -> LanguageBindViT:
    return LanguageBindViT(
        width=sizes.width,
        patch_size=sizes.patch_size,
        image_size=max(1, canvas // sizes.patch_size) * sizes.patch_size,
        layers=sizes.layers,
        heads=sizes.heads,
        output_layer=_output_layer(layer, sizes.layers),
    )


def _pretrained(name_or_path: str, layer: int) -> LanguageBindViT:
    try:
        found = read_architecture(name_or_path)
        depth = _output_layer(layer, found.layers)
        return PretrainedLanguageBind(found.width, found.patch_size, name_or_path, depth)
    except ValueError as error:
        raise ValueError(f"model.teacher.init_args.weights: {name_or_path!r} cannot be used: {error}") from error

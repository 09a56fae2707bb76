"""LanguageBind's video transformer as a teacher, which is the teacher of the paper."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from components.groups import Groups
from components.teachers.teacher import LoadedTeacher, TransformerTeacher, Untrained, layers_needed
from components.transfer import to_device
from components.vision_transformers import LanguageBindViT, PretrainedLanguageBind
from components.vision_transformers.checkpoint import read_architecture

RELEASED = "LanguageBind/LanguageBind_Video_merge"


class LanguageBindTeacher(TransformerTeacher):
    """LanguageBind for video (paper section 4.1 and table 10, "LanguageBind"; arXiv 2310.01852).

    It has 8 time embeddings, so longer clips are encoded in pieces of 8 frames, of which the last may be shorter.
    (Official: the network gets pieces of 4 frames, which it joins to 8 again.) The input of the first layer,
    `layer: 0`, is not available, and pretrained weights support only one canvas (224).
    """

    network: LanguageBindViT

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network.

        Raises:
            ValueError: the weights cannot be used or are for another canvas, or the layer does not exist.
        """
        weights = RELEASED if weights is None else weights
        network = _untrained(weights, layer, canvas) if isinstance(weights, Untrained) else _pretrained(weights, layer)
        in_patches = (
            canvas >= network.patch_size and canvas % network.patch_size == 0
        )  # `Teacher` refuses other canvases
        if in_patches and network.image_size != canvas:
            raise ValueError(
                f"model.teacher.init_args.canvas is {canvas}; the weights {weights!r} know the positions of frames of "
                f"{network.image_size} pixels only"
            )
        return LoadedTeacher(network, network.width, network.patch_size, canvas)

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames; every frame sees the others of its piece."""
        longest = self.network.frames
        pieces = [min(longest, count - first) for count in frame_counts for first in range(0, count, longest)]
        clips = to_device(Groups.of_sizes(pieces), pixels.device)
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
        architecture = read_architecture(name_or_path)
        depth = _output_layer(layer, architecture.layers)
        return PretrainedLanguageBind(architecture.width, architecture.patch_size, name_or_path, depth)
    except ValueError as error:
        raise ValueError(f"model.teacher.init_args.weights: {name_or_path!r} cannot be used: {error}") from error

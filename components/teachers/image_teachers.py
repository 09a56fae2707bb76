"""Teachers that see every frame separately: CLIP and DINOv2, in their implementations in transformers."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, PreTrainedModel
from transformers.utils import logging

from components.model_files import UNREADABLE, not_finite, whereabouts, why
from components.published import only_sizes, sizes_of
from components.teachers.teacher import LoadedTeacher, TransformerTeacher, Untrained, layers_needed

_RELEASED_CLIP = "openai/clip-vit-large-patch14"
_RELEASED_DINOV2 = "facebook/dinov2-large"
Network = TypeVar("Network", bound=PreTrainedModel)


class ImageTeacher(TransformerTeacher):
    """A teacher that sees every frame separately."""

    @abstractmethod
    def tokens(self, pixels: Float[Tensor, "frames 3 canvas canvas"]) -> Float[Tensor, "frames patches width"]:
        """Return the features of the patches, row by row, without other tokens."""

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames, regardless of their clips."""
        grids: Tensor = self.tokens(pixels).unflatten(1, self.grid)
        return grids


class CLIPTeacher(ImageTeacher):
    """CLIP, frame by frame (paper table 10, "CLIP").

    The paper does not say which CLIP. The default is ViT-L/14, which its encoder-based baselines use.
    """

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, whose position embeddings are interpolated to the canvas."""
        if isinstance(weights, Untrained):
            config = CLIPVisionConfig(
                hidden_size=weights.width,
                intermediate_size=4 * weights.width,
                num_hidden_layers=layers_needed(layer, weights.layers),
                num_attention_heads=weights.heads,
                patch_size=weights.patch_size,
                image_size=canvas,
            )
            network = CLIPVisionModel(config)
        else:
            weights = _RELEASED_CLIP if weights is None else weights
            network = load_pretrained(CLIPVisionModel, ("clip", "clip_vision_model"), weights, layer)
        patch_size = network.config.patch_size
        assert isinstance(patch_size, int)
        return LoadedTeacher(network, network.config.hidden_size, patch_size, canvas)

    def tokens(self, pixels: Float[Tensor, "frames 3 canvas canvas"]) -> Float[Tensor, "frames patches width"]:
        """Return the features of the patches, without the class token."""
        hidden: Tensor = self.network(pixels, interpolate_pos_encoding=True).last_hidden_state
        return hidden[:, 1:]


class DINOv2Teacher(ImageTeacher):
    """DINOv2, frame by frame (paper table 10, "DINOv2").

    The paper does not say which DINOv2. The default is ViT-L/14, which is as large as the other teachers.
    """

    pixel_mean = (0.485, 0.456, 0.406)  # of ImageNet
    pixel_std = (0.229, 0.224, 0.225)

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, whose position embeddings are interpolated to the canvas."""
        if isinstance(weights, Untrained):
            config = Dinov2Config(
                hidden_size=weights.width,
                num_hidden_layers=layers_needed(layer, weights.layers),
                num_attention_heads=weights.heads,
                patch_size=weights.patch_size,
                image_size=canvas,
            )
            network = Dinov2Model(config)
        else:
            weights = _RELEASED_DINOV2 if weights is None else weights
            network = load_pretrained(Dinov2Model, ("dinov2",), weights, layer)
        network.set_submodule("layernorm", nn.Identity())  # the final norm is not part of a hidden state
        patch_size = network.config.patch_size
        assert isinstance(patch_size, int)
        return LoadedTeacher(network, network.config.hidden_size, patch_size, canvas)

    def tokens(self, pixels: Float[Tensor, "frames 3 canvas canvas"]) -> Float[Tensor, "frames patches width"]:
        """Return the features of the patches, without the class token."""
        hidden: Tensor = self.network(pixels).last_hidden_state
        return hidden[:, 1:]


def load_pretrained(network_class: type[Network], family: tuple[str, ...], name_or_path: str, layer: int) -> Network:
    """Load a network from a folder or the Hugging Face hub, without the layers above a hidden state.

    Safetensors are preferred; other weight files are read as tensors only, and no code is run. On the meta device only
    the sizes are read.

    Args:
        network_class: class of the network.
        family: accepted values of `model_type` in config.json.
        name_or_path: name on the hub, or folder with config.json and weights.
        layer: hidden state to return, see `layers_needed`.

    Raises:
        ValueError: the network cannot be found or read, is of another family, lacks weights, or has no such hidden
            state.
    """
    where = f"model.teacher.init_args.weights: {name_or_path!r}"
    verbosity = logging.get_verbosity()
    try:
        config = (
            AutoConfig.for_model(**sizes_of(name_or_path, "model.teacher.init_args.weights"))
            if only_sizes()
            else AutoConfig.from_pretrained(name_or_path)
        )
        if config.model_type not in family:
            raise ValueError(f"its config.json says {config.model_type}, not {' or '.join(family)}")
        config = getattr(config, "vision_config", config)
        config.num_hidden_layers = layers_needed(layer, config.num_hidden_layers)
        if only_sizes():
            return network_class(config)
        logging.set_verbosity_error()  # hides a report of the weights that are left out on purpose
        loaded: Any = network_class.from_pretrained(
            name_or_path,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with their names
        )
        network, report = loaded
        wrong = sorted(report["missing_keys"])
        wrong += sorted(f"{name} of shape {list(shape)}" for name, shape, _ in report["mismatched_keys"])
        if wrong:
            raise ValueError(f"weights are missing or of another shape: {', '.join(wrong[:5])} ({len(wrong)} in all)")
        bad = not_finite(dict(network.named_parameters()))
        if bad is not None:
            raise ValueError(f"{bad} has NaN or infinite values")
    except UNREADABLE as error:
        raise ValueError(
            f"{where} could not be loaded as a {network_class.__name__}: {why(error)}. It must be a folder with "
            "config.json and weights (model.safetensors or pytorch_model.bin, or the index of their parts), or a name "
            f"on the Hugging Face hub. {whereabouts(name_or_path)}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    assert isinstance(network, network_class)
    return network

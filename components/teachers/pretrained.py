"""Loading a vision network of transformers as far as one hidden state needs it."""

from typing import Any, TypeVar

from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from components.model_files import UNREADABLE, not_finite, whereabouts, why
from components.published import only_sizes, sizes_of

Network = TypeVar("Network", bound=PreTrainedModel)


def load_pretrained(network_class: type[Network], family: tuple[str, ...], name_or_path: str, layer: int) -> Network:
    """Load a network from a folder or the Hugging Face hub, without the layers above a hidden state.

    Safetensors are read where there are some; other weight files are read as tensors only, and no code is run.
    On the meta device only its sizes are read.

    Args:
        network_class: class of the network.
        family: `model_type`s of a config.json that hold such a network.
        name_or_path: name on the hub, or folder with config.json and weights.
        layer: hidden state that is wanted, see `layers_needed`.

    Raises:
        ValueError: it cannot be found or read, is of another family, lacks weights, or has no such hidden state.
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
        logging.set_verbosity_error()  # a report of the weights that are left out on purpose
        loaded: Any = network_class.from_pretrained(
            name_or_path,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
        network, report = loaded
        wrong = sorted(report["missing_keys"])
        wrong += sorted(f"{name} of shape {list(found)}" for name, found, _ in report["mismatched_keys"])
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


def layers_needed(layer: int, layers: int) -> int:
    """Return how many layers must run for a hidden state.

    Args:
        layer: 0 for the input of the first layer, n for the output of layer n; or counted back from -1, the output of
            the last one.
        layers: of the whole network.

    Raises:
        ValueError: there is no such hidden state.
    """
    if not -layers - 1 <= layer <= layers:
        raise ValueError(
            f"model.teacher.init_args.layer is {layer}; this teacher has the hidden states 0 (its input) to {layers}, "
            f"or {-layers - 1} to -1"
        )
    return layer % (layers + 1)

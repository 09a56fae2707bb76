"""Loading a vision network of transformers as far as one hidden state needs it."""

import pickle
from typing import Any, TypeVar

from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from components.teachers.hidden_state import layers_needed

Network = TypeVar("Network", bound=PreTrainedModel)


def load_pretrained(network_class: type[Network], family: tuple[str, ...], name_or_path: str, layer: int) -> Network:
    """Load a network from a folder or the Hugging Face hub, without the layers above a hidden state.

    Safetensors are read where there are some; other weight files are read as tensors only, and no code is run.

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
        config = AutoConfig.from_pretrained(name_or_path)
        if config.model_type not in family:
            raise ValueError(f"its config.json says {config.model_type}, not {' or '.join(family)}")
        config = getattr(config, "vision_config", config)
        config.num_hidden_layers = layers_needed(layer, config.num_hidden_layers)
        logging.set_verbosity_error()  # a report of the weights that are left out on purpose
        loaded: Any = network_class.from_pretrained(name_or_path, config=config, output_loading_info=True)
        network, found = loaded
        if found["missing_keys"] or found["mismatched_keys"]:
            wrong = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
            raise ValueError(f"weights are missing or of another shape: {', '.join(wrong[:5])} ({len(wrong)} in all)")
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{where} could not be loaded as a {network_class.__name__}; it must be a folder with config.json and "
            "weights, or a name on the Hugging Face hub that is in the local cache or can be downloaded. "
            f"Reason: {error}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    assert isinstance(network, network_class)
    return network

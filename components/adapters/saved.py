"""An adapter that was trained before, read from a folder in the format of PEFT."""

from __future__ import annotations

from pathlib import Path

from peft import (
    PeftConfig,
    get_peft_model_state_dict,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from transformers import PreTrainedModel

from components.adapters.adapter import PeftAdapter, is_quantized, wrap
from components.model_files import read_weights, why

KEY = "model.language_model.init_args.adapter.init_args.folder"
FILES = ("adapter_config.json", "adapter_model.safetensors")


class SavedAdapter(PeftAdapter):
    """A trained adapter in the format of PEFT, with its own rank and targets, to evaluate or train further."""

    def __init__(self, folder: str) -> None:
        """Check that the files exist.

        Args:
            folder: folder with adapter_config.json and adapter_model.safetensors.

        Raises:
            ValueError: a file is missing.
        """
        absent = [name for name in FILES if not (Path(folder) / name).is_file()]
        if absent:
            raise ValueError(f"{KEY}: {folder} has no {' and no '.join(absent)}, so no adapter was saved there")
        self.folder = folder

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Attach the adapter with its trained parameters.

        Raises:
            ValueError: the adapter cannot be read, or was trained on another language model.
        """
        try:
            config = PeftConfig.from_pretrained(self.folder)
            weights = read_weights(Path(self.folder) / FILES[1])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{KEY}: the adapter in {self.folder} cannot be read: {why(error)}") from error
        trained_on, ours = (Path(name or "").name for name in (config.base_model_name_or_path, network.name_or_path))
        if trained_on and ours and trained_on != ours:
            raise ValueError(
                f"{KEY}: the adapter in {self.folder} was trained on {config.base_model_name_or_path}, the language "
                f"model is {network.name_or_path}; if that is the same under a new name, put the name into "
                f"base_model_name_or_path of {FILES[0]}"
            )
        config.inference_mode = False
        if is_quantized(network):
            network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
        kind = type(network).__name__
        try:
            adapted = wrap(network, config)
        except ValueError as error:
            raise ValueError(f"{KEY}: the adapter in {self.folder} does not fit a {kind}: {error}") from error
        saved = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        fitting = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(adapted).items()}
        different = sorted({name for name, _ in saved.items() ^ fitting.items()})
        if different:
            raise ValueError(
                f"{KEY}: the adapter in {self.folder} does not fit this {kind}, it belongs to another language model: "
                f"{len(different)} tensors differ, such as {different[0]}, "
                f"{saved.get(different[0], 'absent')} there, {fitting.get(different[0], 'absent')} here"
            )
        set_peft_model_state_dict(adapted, weights)
        return adapted

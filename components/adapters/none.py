"""No adapter: the weights of the language model themselves learn."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from components.adapters.base import Adapter, is_quantized


class NoAdapter(Adapter):
    """Trains all weights of the language model, as the official code does."""

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network as it is."""
        return network

    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Let all weights learn, or freeze them.

        Raises:
            ValueError: the weights are quantised, and can only be frozen.
        """
        if requires_grad and is_quantized(network):
            raise ValueError(
                "quantised weights cannot learn: set model.language_model.init_args.adapter to QLoRA, or "
                "model.stage.language_model to 0"
            )
        network.requires_grad_(requires_grad)

    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Refuse: there is nothing to save.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"there is no adapter to save in {folder}: model.language_model.init_args.adapter is NoAdapter"
        )

    def merge(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network as it is."""
        return network

    def detach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network as it is."""
        return network

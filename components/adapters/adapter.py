"""The interface of an adapter, `NoAdapter`, and the base of adapters of the PEFT library."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import cast

from peft import PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

ADAPTER_NAME = "default"  # PEFT's default, which does not appear in its files


class Adapter(ABC):
    """Decides which parameters of a language model are trained: the family `adapters`.

    An adapter has only settings. Its parameters are in the network, so that they are moved, saved and loaded with it.
    """

    @abstractmethod
    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network with the parameters of the adapter, which are then the only trainable ones.

        Raises:
            ValueError: the adapter does not support this network.
        """

    @abstractmethod
    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Make the parameters of the adapter in an attached network trainable, or freeze them."""

    @abstractmethod
    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Write only the parameters of the adapter.

        Raises:
            ValueError: the adapter has no parameters.
        """

    @abstractmethod
    def merge(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return an attached network without the adapter, with its weights changed so that it computes the same."""

    @abstractmethod
    def detach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return an attached network without the adapter, as it was before."""


def is_quantized(network: PreTrainedModel) -> bool:
    """Return whether the weights are quantised, so that they cannot be trained."""
    return bool(getattr(network, "is_quantized", False))


class NoAdapter(Adapter):
    """Trains all weights of the language model, as the official code does."""

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network as it is."""
        return network

    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Make all weights trainable, or freeze them.

        Raises:
            ValueError: the weights should be trainable but are quantised.
        """
        if requires_grad and is_quantized(network):
            raise ValueError(
                "quantised weights cannot learn: set model.language_model.init_args.adapter to QLoRA, or "
                "model.stage.language_model to 0"
            )
        network.requires_grad_(requires_grad)

    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Raise an error, since there is nothing to save.

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


def wrap(network: PreTrainedModel, config: PeftConfig) -> PreTrainedModel:
    """Return a `PeftModel` around `network`, which can be used in its place."""
    with warnings.catch_warnings():
        # PEFT uses an attribute that transformers has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return cast(PreTrainedModel, get_peft_model(network, config))


class PeftAdapter(Adapter):
    """An adapter of PEFT, which wraps the network in a `peft.PeftModel`."""

    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Make the adapter trainable, or freeze it; the network itself is always frozen."""
        assert isinstance(network, PeftModel)
        network.set_requires_grad(ADAPTER_NAME, requires_grad)

    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors for `peft.PeftModel.from_pretrained`."""
        assert isinstance(network, PeftModel)
        # No adapter here changes the embeddings; PEFT would look up on the hub whether it should save them.
        network.save_pretrained(str(folder), save_embedding_layers=False)

    def merge(self, network: PreTrainedModel) -> PreTrainedModel:
        """Add the changes of the adapter to the weights.

        Raises:
            ValueError: a merged weight would not be finite.
        """
        assert isinstance(network, PeftModel)
        merged: PreTrainedModel = network.merge_and_unload(safe_merge=True)
        return merged

    def detach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network without PEFT's modules."""
        assert isinstance(network, PeftModel)
        plain: PreTrainedModel = network.unload()
        return plain

"""The contract of an adapter, the one that adapts nothing, and what those of the PEFT library share."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import cast

from peft import PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

ADAPTER_NAME = "default"  # PEFT's own, by which its files name no adapter


class Adapter(ABC):
    """What learns in a language model when it is trained: the family `adapters`.

    An adapter holds options only. Its parameters are in the network, so that they are moved, saved and loaded with it.
    """

    @abstractmethod
    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return the network with the adapter's parameters in it; of the whole, only they learn.

        Raises:
            ValueError: the network is none that this adapter can change.
        """

    @abstractmethod
    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Let what this adapter trains in an attached network learn, or freeze it."""

    @abstractmethod
    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Write the parameters of the adapter alone.

        Raises:
            ValueError: it has none.
        """

    @abstractmethod
    def merge(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return an attached network without adapter, its weights changed so that it computes the same."""

    @abstractmethod
    def detach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Return an attached network without adapter, as it was before."""


def is_quantized(network: PreTrainedModel) -> bool:
    """Whether the weights are stored in fewer bits than they can be trained in."""
    return bool(getattr(network, "is_quantized", False))


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


def wrapped(network: PreTrainedModel, config: PeftConfig) -> PreTrainedModel:
    """Return a `PeftModel` around `network`, which takes its place: it passes on all that it does not do itself."""
    with warnings.catch_warnings():
        # PEFT asks a question of which transformers has changed the name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return cast(PreTrainedModel, get_peft_model(network, config))


class PeftAdapter(Adapter):
    """An adapter that PEFT wraps around the network, which becomes a `peft.PeftModel`."""

    def set_requires_grad(self, network: PreTrainedModel, requires_grad: bool) -> None:
        """Let the adapter learn, or freeze it; the network below stays frozen either way."""
        assert isinstance(network, PeftModel)
        network.set_requires_grad(ADAPTER_NAME, requires_grad)

    def save(self, network: PreTrainedModel, folder: str | Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, as `peft.PeftModel.from_pretrained` reads them."""
        assert isinstance(network, PeftModel)
        # Without the embeddings, which PEFT would look up on the hub whether to save: no adapter here changes them.
        network.save_pretrained(str(folder), save_embedding_layers=False)

    def merge(self, network: PreTrainedModel) -> PreTrainedModel:
        """Add the adapter's changes to the weights that they belong to.

        Raises:
            ValueError: a merged weight would not be finite.
        """
        assert isinstance(network, PeftModel)
        merged: PreTrainedModel = network.merge_and_unload(safe_merge=True)
        return merged

    def detach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Take out what PEFT put in."""
        assert isinstance(network, PeftModel)
        plain: PreTrainedModel = network.unload()
        return plain

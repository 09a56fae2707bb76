"""The contract of an adapter, and the one that adapts nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from transformers import PreTrainedModel


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

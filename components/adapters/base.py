"""The contract between an adapter and the language model that it changes."""

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

"""What all adapters of the PEFT library have in common once they are attached."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

from peft import PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from components.adapters.base import Adapter

ADAPTER_NAME = "default"  # PEFT's own, by which its files name no adapter


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

"""How the weights of a pretrained language model are stored in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

KEY = "model.language_model.init_args.quantization"


class Quantization(ABC):
    """Stores weights in fewer bits: the slot `quantization` of a pretrained language model."""

    @abstractmethod
    def load_arguments(self) -> dict[str, Any]:
        """Return the arguments of transformers' `from_pretrained` that ask for it.

        Raises:
            ValueError: what it needs is not installed.
        """


class NoQuantization(Quantization):
    """Weights in the number format that the language model is loaded in."""

    def load_arguments(self) -> dict[str, Any]:
        """Ask for nothing."""
        return {}


class NF4(Quantization):
    """Linear layers in 4 bits (Dettmers et al. 2023): normal floats, the scales quantised once more, bfloat16 compute.

    Such weights cannot learn: for a language model that is frozen, or trained through the adapter QLoRA.
    """

    def load_arguments(self) -> dict[str, Any]:
        """Ask for bitsandbytes, which quantises while loading, on the device that it finds."""
        if find_spec("bitsandbytes") is None:
            raise ValueError(
                f"{KEY} is NF4, which needs the package bitsandbytes: `pip install bitsandbytes`, or set it to "
                "NoQuantization"
            )
        return {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
        }

"""Quantisation of the weights of a pretrained language model in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

KEY = "model.language_model.init_args.quantization"


class Quantization(ABC):
    """Storage of weights in fewer bits: the slot `quantization` of a pretrained language model."""

    @abstractmethod
    def load_arguments(self) -> dict[str, Any]:
        """Return the arguments of transformers' `from_pretrained` for this quantisation.

        Raises:
            ValueError: a required package is not installed.
        """


class NoQuantization(Quantization):
    """No quantisation: weights in the number format in which the language model is loaded."""

    def load_arguments(self) -> dict[str, Any]:
        """Return no arguments."""
        return {}


class NF4(Quantization):
    """Linear layers in 4-bit NormalFloat with double quantisation and bfloat16 compute (Dettmers et al. 2023).

    Such weights cannot be trained; the language model must be frozen or have the adapter QLoRA.
    """

    def load_arguments(self) -> dict[str, Any]:
        """Return the arguments for bitsandbytes, which quantises while loading, on the current GPU if there is one.

        Raises:
            ValueError: bitsandbytes is not installed.
        """
        if find_spec("bitsandbytes") is None:
            raise ValueError(
                f"{KEY} is NF4, which needs the package bitsandbytes: `pip install bitsandbytes`, or set it to "
                "NoQuantization"
            )
        device = {"device_map": {"": torch.cuda.current_device()}} if torch.cuda.is_available() else {}
        return {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            ),
            **device,
        }

"""Quantisation of the weights of a pretrained language model in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel

KEY = "model.language_model.init_args.quantization"
BLOCK = 64  # weights that share a scale, in bitsandbytes
SCALES_PER_BLOCK = 256  # scales that share a scale of their own


class Quantization(ABC):
    """Storage of weights in fewer bits: the slot `quantization` of a pretrained language model."""

    @abstractmethod
    def load_arguments(self) -> dict[str, Any]:
        """Return the arguments of transformers' `from_pretrained` for this quantisation.

        Raises:
            ValueError: a required package is not installed.
        """

    @abstractmethod
    def take_sizes(self, network: PreTrainedModel) -> None:
        """Give the weights of a network on the meta device the sizes that they have in memory after loading."""


class NoQuantization(Quantization):
    """No quantisation: weights in the number format in which the language model is loaded."""

    def load_arguments(self) -> dict[str, Any]:
        """Return no arguments."""
        return {}

    def take_sizes(self, network: PreTrainedModel) -> None:
        """Leave the network as it is."""


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

    def take_sizes(self, network: PreTrainedModel) -> None:
        """Replace the linear layers, all but the output embeddings, by some with weights in 4 bits."""
        output = network.get_output_embeddings()
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if type(layer) is nn.Linear and layer is not output:
                    setattr(parent, name, LinearInFourBits(layer))
        network.is_quantized = True  # type: ignore[assignment]  # modules may hold anything


class LinearInFourBits(nn.Linear):
    """A frozen linear layer on the meta device that takes the memory of one in NF4 with double quantisation.

    Its weight has the true shape, over a storage of 4 bits for a weight, 8 for the scale of 64 of them, and 32 for the
    scale of 256 scales (Dettmers et al. 2023, section 3). Nothing is saved for the backward pass, as in bitsandbytes.
    """

    def __init__(self, layer: nn.Linear) -> None:
        """Take the sizes and the bias of a layer."""
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.bias = layer.bias
        scales = -(-layer.weight.numel() // BLOCK)
        stored = -(-layer.weight.numel() // 2) + scales + 4 * -(-scales // SCALES_PER_BLOCK)
        storage = torch.empty(stored, dtype=torch.uint8, device="meta")
        self.weight = nn.Parameter(storage.as_strided(layer.weight.shape, (0, 0)), requires_grad=False)

    def forward(self, input: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the product in the number format of the input."""
        output: Tensor = _Product.apply(input, self.out_features)
        return output if self.bias is None else output + self.bias


class _Product(torch.autograd.Function):
    """Both products are computed in bfloat16 with a weight that is unpacked for each."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, outputs: int) -> Tensor:
        ctx.shape, ctx.dtype = (outputs, input.shape[-1]), input.dtype
        weight = input.new_empty(ctx.shape, dtype=torch.bfloat16)
        return nn.functional.linear(input.bfloat16(), weight).to(ctx.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        weight = grads[0].new_empty(ctx.shape, dtype=torch.bfloat16)
        return (grads[0].bfloat16() @ weight).to(ctx.dtype), None

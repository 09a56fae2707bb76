"""Autocast and fused attention for the meta device, so that tensors saved for the backward pass can be counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, PreTrainedModel

FUSED = "video_panda_sizes_only"
# The functions of our models that autocast runs in the lower precision.
_LOWERED = {
    functional.linear,
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
    torch.matmul,
    torch.bmm,
    torch.einsum,
    torch.addmm,
    torch.baddbmm,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.bmm,
}


class MetaAutocast(TorchFunctionMode):
    """Mixed precision for the meta device: matrix products and convolutions take their inputs in `dtype`.

    Like autocast, it converts a trained weight once, and others at every use.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.copies: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Convert the tensors of a call that autocast would convert."""
        if func not in _LOWERED:
            return func(*args, **(kwargs or {}))
        lowered = {name: self._lower(value) for name, value in (kwargs or {}).items()}
        return func(*map(self._lower, args), **lowered)

    def _lower(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (isinstance(value, nn.Parameter) and value.requires_grad):
            return value.to(self.dtype)
        if id(value) not in self.copies:
            self.copies[id(value)] = value.to(self.dtype)
        return self.copies[id(value)]


class _FusedAttention(torch.autograd.Function):
    """Saves what fused kernels save: inputs, output, and one number per query; not the attention weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise NotImplementedError("nothing is computed on the meta device")


def _attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    output: Tensor = _FusedAttention.apply(query, key, value)
    return output.transpose(1, 2), None


def use_fused_attention(network: PreTrainedModel) -> None:
    """Let a network on the meta device save for the backward pass what torch's fused attention would save.

    No mask is registered for it, so transformers makes none, and reads no values of positions to find out whether to.
    """
    AttentionInterface.register(FUSED, _attention)
    network.set_attn_implementation(FUSED)

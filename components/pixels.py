"""The scale of pixels that a vision network reads."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def standardise(
    frames: UInt8[Tensor, "frames 3 height width"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    dtype: torch.dtype,
) -> Float[Tensor, "frames 3 height width"]:
    """Scale pixels to 0..1 and standardise every channel, computed in float32 whatever the dtype of the result.

    Mean and deviation are arguments of the operations and no tensors, so nothing is copied to the device in a step.
    """
    pixels = frames.float() / 255
    for channel, (centre, spread) in enumerate(zip(mean, std, strict=True)):
        pixels[:, channel].sub_(centre).div_(spread)  # in place on our own tensor, without new memory for every step
    return pixels.to(dtype)

"""Sizes and inputs that the tests of the teachers share."""

import torch

from components.teachers import Untrained

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 4, "image_size": 12}
SMALL = Untrained(width=16, layers=3, heads=2, patch_size=4)


@torch.no_grad()
def lively(network):
    """Fresh weights are so small that layers would hardly show."""
    for weight in network.parameters():
        weight.copy_(torch.randn_like(weight) * (0.3 if weight.ndim > 1 else 0.1) + (weight.ndim == 1))
    return network.eval()


def video(frames=5, canvas=12):
    return torch.randint(0, 256, (frames, 3, canvas, canvas), dtype=torch.uint8)


def normalized(frames, teacher):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (teacher.pixel_mean, teacher.pixel_std))
    return (frames / 255 - mean) / std

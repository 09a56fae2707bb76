"""What an encoder is made of, whether each part matters for its tokens, and what of another encoder is not in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from components.encoders import VideoEncoder, VideoShapes
from components.registry import slot_names

NOISE = 0.1  # of the size of a tensor
FRAMES = 2  # no part treats it as a picture
WINDOWS = 2  # along each side of a frame, for an encoder that takes any
INERT = 1e-6  # what rounding can do


def parts(encoder: nn.Module) -> dict[str, nn.Module]:
    """Return path -> part: the children of an encoder, and what fills a slot of a part."""
    within = [path.removeprefix("encoder.") for path in slot_names("encoder", encoder)]
    children = dict(encoder.named_children())
    modules = {path: encoder.get_submodule(path) for path in within} | children
    order = {name: number for number, name in enumerate(children)}
    return dict(sorted(modules.items(), key=lambda item: (order.get(item[0].split(".")[0], 0), item[0])))


def count(part: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in part.parameters())


def effects(encoder: VideoEncoder) -> dict[str, float]:
    """Return path of a part -> by which share the visual tokens move when noise is put on its parameters.

    The noise is a tenth of each tensor (root mean square; of one that is 0 everywhere, 0.1), the clip is random, and
    the encoder is in evaluation mode. Parts without parameters are left out. Neither weights nor modes nor the state
    of random numbers are changed.

    Raises:
        ValueError: the weights are not here, or the encoder does not take the clip.
    """
    weights = dict(encoder.named_parameters())
    if any(weight.is_meta or isinstance(weight, DTensor) for weight in weights.values()):
        raise ValueError("its weights are not in the memory of this process alone")
    device = next(iter(weights.values())).device
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.inference_mode(), _evaluating(encoder), _few_threads(encoder):
        random = torch.Generator().manual_seed(0)
        side = (encoder.canvas or WINDOWS * encoder.stride * encoder.patch_size) // encoder.patch_size
        rectangles = torch.tensor([[0, 0, side, side]] * FRAMES)
        layout = encoder.layout(VideoShapes(torch.tensor([FRAMES]), rectangles, (side, side))).to(device)
        pixels = side * encoder.patch_size
        clip = torch.randint(256, (FRAMES, 3, pixels, pixels), dtype=torch.uint8, generator=random)
        frames = encoder.normalize(clip.to(device))

        def tokens(changed: Mapping[str, Tensor]) -> Tensor:
            features: Tensor = functional_call(encoder, dict(changed), (frames, layout))
            return features.index_select(0, layout.order).double()

        before, found = tokens({}), {}
        for path, part in parts(encoder).items():
            noisy = {f"{path}.{name}": _noisy(weight, random) for name, weight in part.named_parameters()}
            if noisy:
                found[path] = float((tokens(noisy) - before).norm() / before.norm())
    return found


def inert(found: Mapping[str, float]) -> list[str]:
    """Return the parts whose parameters change nothing."""
    return [path for path, effect in found.items() if effect < INERT]


def without(encoder: nn.Module, base: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the tensors of `base` that `encoder` does not have, by name and shape."""
    ours = {name: tuple(parameter.shape) for name, parameter in encoder.named_parameters()}
    theirs = {name: tuple(parameter.shape) for name, parameter in base.named_parameters()}
    return {name: shape for name, shape in theirs.items() if ours.get(name) != shape}


def _noisy(weight: Tensor, random: torch.Generator) -> Tensor:
    size = weight.float().square().mean().sqrt()
    noise = torch.randn(weight.shape, generator=random).to(weight.device)
    return weight + (NOISE * torch.where(size > 0, size, 1.0) * noise).to(weight.dtype)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def _few_threads(encoder: VideoEncoder) -> Iterator[None]:
    """Have one thread for a tiny clip: on a busy machine several are a hundred times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if encoder.canvas is None else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

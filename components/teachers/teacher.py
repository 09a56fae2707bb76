"""The contract of a teacher: a frozen vision network that turns frames into a grid of features.

A teacher is never trained and never saved. It stays in eval mode whatever its parent does, none of its parameters has a
gradient, and its tensors are left out of the state dict of the model that it is in: they come from where the teacher
was loaded from in the first place, and `fingerprint` says which ones they are.

Legend: F frames of all clips, S side of the canvas in pixels, C width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from components.fingerprint import fingerprint


@dataclass(frozen=True)
class Untrained:
    """Plain sizes of a vision transformer; its weights come from torch's seed.

    Given as a teacher's `weights`, it makes tests, the toy scale and the meta device independent of downloads. The
    features of random weights still tell patches apart, but carry no meaning.

    Attributes:
        width: size of a feature; must be a multiple of the heads.
        layers: number of layers.
        heads: attention heads.
        patch_size: side of a patch in pixels.
    """

    width: int = 32
    layers: int = 3
    heads: int = 4
    patch_size: int = 14

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "patch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"model.teacher.init_args.weights.{name} is {getattr(self, name)}; it must be at least 1"
                )
        if self.width % self.heads:
            raise ValueError(
                f"model.teacher.init_args.weights.heads is {self.heads}; it must divide the width {self.width}"
            )


def layers_needed(layer: int, layers: int) -> int:
    """Return how many layers must run for a hidden state.

    Args:
        layer: 0 for the input of the first layer, n for the output of layer n; or counted back from -1, the output of
            the last one.
        layers: of the whole network.

    Raises:
        ValueError: there is no such hidden state.
    """
    if not -layers - 1 <= layer <= layers:
        raise ValueError(
            f"model.teacher.init_args.layer is {layer}; this teacher has the hidden states 0 (its input) to {layers}, "
            f"or {-layers - 1} to -1"
        )
    return layer % (layers + 1)


class LoadedTeacher(NamedTuple):
    """A network, the width of its features, the side of its patches and that of the frames it takes, in pixels."""

    network: nn.Module
    width: int
    patch_size: int
    canvas: int


class Teacher(nn.Module, ABC):
    """A frozen vision network: the family `teachers`.

    All members take the same settings, so that an experiment may change the class alone, and a scale the settings. Most
    build on `ImageTeacher` or `VideoTeacher`.

    Attributes:
        network: the network, without what its features do not need.
        width: size C of a feature.
        patch_size: side of a patch in pixels.
        canvas: side S of the frames it takes, in pixels; one feature per patch of it.
        pixel_mean: per channel, in 0..1; also the colour of padding.
        pixel_std: per channel, in 0..1.
    """

    pixel_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of CLIP
    pixel_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, weights: str | Untrained | None = None, layer: int = -2, canvas: int = 224) -> None:
        """Load or build the network.

        Args:
            weights: folder or name on the Hugging Face hub, sizes of a network with random weights, or None for the
                released ones.
            layer: hidden state whose features are given, without a final norm; 0 is the input of the first layer, -1
                the output of the last one (official: -2).
            canvas: side of a frame in pixels.

        Raises:
            ValueError: the weights cannot be used, there is no such layer, or the canvas is not in whole patches.
        """
        super().__init__()
        self.network, self.width, self.patch_size, self.canvas = self.load(weights, layer, canvas)
        if self.canvas < self.patch_size or self.canvas % self.patch_size:
            raise ValueError(
                f"model.teacher.init_args.canvas is {canvas}; {type(self).__name__} needs a multiple of its patches of "
                f"{self.patch_size} pixels"
            )
        self.network.requires_grad_(False)
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_put_back)
        self.eval()

    @staticmethod
    @abstractmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, as far as the features of `layer` need it.

        Raises:
            ValueError: the weights cannot be used, or there is no such layer.
        """

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of features in a frame."""
        return (self.canvas // self.patch_size,) * 2

    @abstractmethod
    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames."""

    @torch.no_grad()
    def forward(
        self, frames: UInt8[Tensor, "frames 3 height width"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of the frames of all clips, packed, without a gradient.

        Args:
            frames: canvases, RGB; padding has the colour `pixel_mean`, as the network sees it too (official).
            frame_counts: frames of each clip, plain integers on the host.

        Raises:
            ValueError: frames of another size, or other than `frame_counts` adds up to.
        """
        expected = (sum(frame_counts), 3, self.canvas, self.canvas)
        if tuple(frames.shape) != expected:
            raise ValueError(
                f"{type(self).__name__} takes frames of shape {expected} for frame_counts {list(frame_counts)}, but "
                f"these have {tuple(frames.shape)}"
            )
        return self.features(self._normalize(frames), frame_counts)

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in eval mode: a teacher does not learn (the official one changes mode with the model)."""
        return super().train(False)

    def fingerprint(self) -> str:
        """Return a hash of all that a feature depends on besides the frames: weights, layer, geometry, pixel scale."""
        settings = (type(self).__name__, self.canvas, self.patch_size, self.pixel_mean, self.pixel_std)
        return fingerprint([*self.network.named_parameters(), *self.network.named_buffers()], repr(settings))

    def _normalize(self, frames: Tensor) -> Tensor:
        like = next(self.parameters())
        # Of float32 also where that is not the default: bf16-true.
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=frames.device).view(1, 3, 1, 1)
            for values in (self.pixel_mean, self.pixel_std)
        )
        return (frames.float() / 255).sub_(mean).div_(std).to(like.dtype)


class VideoTeacher(Teacher):
    """A teacher that sees the frames of a clip together."""

    @abstractmethod
    def tokens(
        self, clips: Float[Tensor, "clips frames 3 canvas canvas"]
    ) -> Float[Tensor, "clips frames patches width"]:
        """Return the features of the patches of clips of one length, without those of other tokens."""

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames, all clips of one length at once."""
        if len(set(frame_counts)) == 1:
            return self._of_one_length(pixels, frame_counts[0])
        counts = torch.tensor(frame_counts)
        counts = counts.repeat_interleave(counts)  # of the clip that each frame is in
        order = counts.argsort(stable=True)
        lengths, frames = counts.unique(return_counts=True)
        sorted_pixels = pixels.index_select(0, order.to(pixels.device)).split(frames.tolist())
        features = [
            self._of_one_length(part, length) for part, length in zip(sorted_pixels, lengths.tolist(), strict=True)
        ]
        return torch.cat(features).index_select(0, order.argsort().to(pixels.device))

    def _of_one_length(self, pixels: Tensor, frames: int) -> Tensor:
        grids: Tensor = self.tokens(pixels.unflatten(0, (-1, frames))).flatten(0, 1).unflatten(1, self.grid)
        return grids


def _leave_out(module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    for name in [name for name in state_dict if name.startswith(prefix)]:
        del state_dict[name]


def _put_back(module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: object) -> None:
    """Let a strict load find what `_leave_out` left out: the teacher as it is."""
    assert isinstance(module, Teacher)
    state_dict.update({f"{prefix}network.{name}": tensor for name, tensor in module.network.state_dict().items()})


class NoTeacher(Teacher):
    """Has no network and features without channels."""

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load nothing, whatever the settings."""
        return LoadedTeacher(nn.Identity(), width=0, patch_size=1, canvas=1)

    def forward(self, frames: Tensor, frame_counts: Sequence[int]) -> Float[Tensor, "frames 1 1 0"]:
        """Return features without channels, whatever the frames."""
        return frames.new_zeros(len(frames), 1, 1, 0).float()

    def features(self, pixels: Float[Tensor, "frames 3 1 1"], frame_counts: Sequence[int]) -> Tensor:
        """Return features without channels."""
        return pixels.new_zeros(len(pixels), 1, 1, 0)

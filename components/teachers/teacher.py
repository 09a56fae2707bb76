"""The interface of a teacher: a frozen vision network that turns frames into a grid of features.

A teacher is never trained and never saved. It stays in eval mode in any parent, its parameters have no gradients, and
its tensors are left out of the state dict of the model, since they can be loaded from their source again; `fingerprint`
identifies them.

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
from components.pixels import standardise


@dataclass(frozen=True)
class Untrained:
    """The sizes of a vision transformer with random weights from torch's seed.

    As `weights` of a teacher, it makes tests, the toy scale and the meta device independent of downloads. The features
    of random weights distinguish patches but have no meaning.

    Attributes:
        width: size of a feature; must be a multiple of the heads.
        layers: number of layers.
        heads: number of attention heads.
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
    """Return the number of layers that must run for a hidden state.

    Args:
        layer: hidden state; 0 is the input of the first layer, n the output of layer n, and -1 that of the last layer.
        layers: number of layers of the whole network.

    Raises:
        ValueError: the hidden state does not exist.
    """
    if not -layers - 1 <= layer <= layers:
        raise ValueError(
            f"model.teacher.init_args.layer is {layer}; this teacher has the hidden states 0 (its input) to {layers}, "
            f"or {-layers - 1} to -1"
        )
    return layer % (layers + 1)


class LoadedTeacher(NamedTuple):
    """A network, the width of its features, and the sides of its patches and frames in pixels."""

    network: nn.Module
    width: int
    patch_size: int
    canvas: int


class Teacher(nn.Module, ABC):
    """A frozen vision network: the family `teachers`.

    Attributes:
        network: network without the parts that its features do not need.
        width: size C of a feature.
        patch_size: side of a patch in pixels.
        canvas: side S of the frames in pixels; every patch has one feature.
        pixel_mean: mean of the pixels in 0..1, by channel; also the colour of padding.
        pixel_std: standard deviation of the pixels in 0..1, by channel.
    """

    pixel_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of CLIP
    pixel_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, loaded: LoadedTeacher) -> None:
        """Freeze a network.

        Args:
            loaded: network, and the sizes of what it takes and gives.

        Raises:
            ValueError: the canvas is not a multiple of the patch size.
        """
        super().__init__()
        self.network, self.width, self.patch_size, self.canvas = loaded
        if self.canvas < self.patch_size or self.canvas % self.patch_size:
            raise ValueError(
                f"model.teacher.init_args.canvas is {self.canvas}; {type(self).__name__} needs a multiple of its "
                f"patches of {self.patch_size} pixels"
            )
        self.network.requires_grad_(False)
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_put_back)
        self.eval()

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
            frames: RGB frames of all clips; the network sees padding in the colour `pixel_mean` (official).
            frame_counts: number of frames of each clip, as plain integers on the host.

        Raises:
            ValueError: the frames have another size, or another number than the sum of `frame_counts`.
        """
        expected = (sum(frame_counts), 3, self.canvas, self.canvas)
        if tuple(frames.shape) != expected:
            raise ValueError(
                f"{type(self).__name__} takes frames of shape {expected} for frame_counts {list(frame_counts)}, but "
                f"these have {tuple(frames.shape)}"
            )
        return self.features(self._normalize(frames), frame_counts)

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in eval mode, since a teacher is not trained (the official one changes mode with the model)."""
        return super().train(False)

    def fingerprint(self) -> str:
        """Return a hash of everything but the frames that decides the features: weights, layer, sizes, pixel scale."""
        settings = (type(self).__name__, self.canvas, self.patch_size, self.pixel_mean, self.pixel_std)
        return fingerprint([*self.network.named_parameters(), *self.network.named_buffers()], repr(settings))

    def _normalize(self, frames: Tensor) -> Tensor:
        return standardise(frames, self.pixel_mean, self.pixel_std, next(self.parameters()).dtype)


class TransformerTeacher(Teacher):
    """A vision transformer, whose features are one of its hidden states.

    All of these take the same settings, so that an experiment can change only the class, and a scale only the settings.
    Most are based on `ImageTeacher` or `VideoTeacher`.
    """

    def __init__(self, weights: str | Untrained | None = None, layer: int = -2, canvas: int = 224) -> None:
        """Load or build the network.

        Args:
            weights: folder or name on the Hugging Face hub, sizes of a network with random weights, or null for the
                released weights.
            layer: hidden state that gives the features, without a final norm; 0 is the input of the first layer, n the
                output of layer n, and -1 that of the last layer (official: -2).
            canvas: side of a frame in pixels, a multiple of the patch size.

        Raises:
            ValueError: the weights cannot be used, the layer does not exist, or the canvas is not a multiple of the
                patch size.
        """
        super().__init__(self.load(weights, layer, canvas))

    @staticmethod
    @abstractmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, as far as the features of `layer` need it.

        Raises:
            ValueError: the weights cannot be used, or the layer does not exist.
        """


class VideoTeacher(TransformerTeacher):
    """A teacher that sees the frames of a clip together."""

    @abstractmethod
    def tokens(
        self, clips: Float[Tensor, "clips frames 3 canvas canvas"]
    ) -> Float[Tensor, "clips frames patches width"]:
        """Return the features of the patches of clips of equal length, without other tokens."""

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames; clips of equal length are encoded together."""
        if len(set(frame_counts)) == 1:
            return self._of_one_length(pixels, frame_counts[0])
        # On the host, from plain integers, so that no value of a tensor is read.
        lengths = [count for count in frame_counts for _ in range(count)]  # for each frame, the length of its clip
        different = list(dict.fromkeys(frame_counts))
        order = torch.tensor([frame for length in different for frame, own in enumerate(lengths) if own == length])
        by_length, by_clip = torch.stack([order, order.argsort()]).to(pixels.device, non_blocking=True)
        parts = pixels.index_select(0, by_length).split([lengths.count(length) for length in different])
        features = [self._of_one_length(part, length) for part, length in zip(parts, different, strict=True)]
        return torch.cat(features).index_select(0, by_clip)

    def _of_one_length(self, pixels: Tensor, frames: int) -> Tensor:
        grids: Tensor = self.tokens(pixels.unflatten(0, (-1, frames))).flatten(0, 1).unflatten(1, self.grid)
        return grids


def _leave_out(module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    for name in [name for name in state_dict if name.startswith(prefix)]:
        del state_dict[name]


def _put_back(module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: object) -> None:
    """Add the present tensors of the teacher, which `_leave_out` left out, for a strict load."""
    assert isinstance(module, Teacher)
    state_dict.update({f"{prefix}network.{name}": tensor for name, tensor in module.network.state_dict().items()})


class NoTeacher(Teacher):
    """No teacher: has no network, and features without channels."""

    def __init__(self, weights: str | Untrained | None = None, layer: int = -2, canvas: int = 224) -> None:
        """Load nothing, for any settings."""
        super().__init__(LoadedTeacher(nn.Identity(), width=0, patch_size=1, canvas=1))

    def forward(self, frames: Tensor, frame_counts: Sequence[int]) -> Float[Tensor, "frames 1 1 0"]:
        """Return features without channels, for any frames."""
        return frames.new_zeros(len(frames), 1, 1, 0).float()

    def features(self, pixels: Float[Tensor, "frames 3 1 1"], frame_counts: Sequence[int]) -> Tensor:
        """Return features without channels."""
        return pixels.new_zeros(len(pixels), 1, 1, 0)

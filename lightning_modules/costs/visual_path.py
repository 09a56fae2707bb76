"""The visual path, from frames to the language model's input, and one clip as its input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.encoders import TokenLayout, VideoEncoder, VideoShapes
from components.projectors import Projector
from datamodules.video.geometry import CanvasGeometry
from lightning_modules.resolve import Experiment


class VisualPath(nn.Module):
    """Encoder and projector, connected as in `VideoLanguageModel`."""

    def __init__(self, encoder: VideoEncoder, projector: Projector) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.requires_grad_(False)

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "tokens width"]:
        """Return the tokens of the clips, packed."""
        tokens: Tensor = self.projector(self.encoder(frames, layout)).index_select(0, layout.order)
        return tokens

    def parts(self) -> dict[str, nn.Module]:
        """Return the modules whose costs are reported: the path, encoder and projector, and the encoder's parts."""
        parts = {f"encoder.{name}": part for name, part in self.encoder.named_children()}
        return {"visual": self, "encoder": self.encoder, **parts, "projector": self.projector}

    def randomise(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move a path from the meta device to `device` with random weights, which suffice to time it."""
        self.to_empty(device=device)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm):
                module.reset_running_stats()
        self.to(dtype).eval()


@dataclass(frozen=True)
class Clip:
    """A batch of equal square clips that fill their canvas.

    Attributes:
        frames: number of frames per clip.
        canvas: side of the canvas in pixels.
        clips: number of clips.
    """

    frames: int
    canvas: int
    clips: int = 1

    def shapes(self, encoder: VideoEncoder) -> VideoShapes:
        """Return the shapes of the clips for an encoder.

        Raises:
            ValueError: the canvas does not suit the encoder.
        """
        CanvasGeometry(self.canvas, encoder.patch_size, encoder.stride, (0, 0, 0))
        side = self.canvas // encoder.patch_size
        rectangle = torch.tensor([0, 0, side, side])
        counts = torch.full((self.clips,), self.frames)
        return VideoShapes(counts, rectangle.expand(self.clips * self.frames, 4), (side, side))

    def pixels(self, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "frames 3 canvas canvas"]:
        """Return random frames with the spread of normalised images, since zeros may be faster on some hardware."""
        return torch.randn(self.clips * self.frames, 3, self.canvas, self.canvas, device=device, dtype=dtype)


def visual_path(experiment: Experiment) -> tuple[VisualPath, Clip]:
    """Return the visual path of a configuration on the meta device, and a clip of the size of its data."""
    model = experiment.model_on_meta()
    return VisualPath(model.encoder, model.projector), Clip(experiment.frames(), experiment.data.canvas)

"""The base of encoders with a vision transformer: its geometry, and the patches that show the clip."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from components.encoders.video_encoder import TokenLayout, VideoEncoder, VideoShapes
from components.groups import Groups
from components.vision_transformers import VisionTransformer


@dataclass
class ViTLayout(TokenLayout):
    """The sources of the tokens of a batch.

    Attributes:
        clips: grouping of the frames by clip.
    """

    clips: Groups


class ViTEncoder(VideoEncoder):
    """Encodes frames with a vision transformer, which sees the whole canvas; patches of padding give no tokens.

    The original models have no padding: Video-ChatGPT stretches a frame to a square (`data.init_args.fit: Stretch`),
    and Video-LLaVA crops a square from it (`CentreCrop`).
    """

    def __init__(
        self,
        width: int,
        patch_size: int,
        tower: Callable[[int, int], VisionTransformer],
        dropout: float = 0.0,
        train_tower: bool = True,
    ) -> None:
        """Build the tower.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
            tower: vision transformer that encodes the frames, possibly with pretrained weights.
            dropout: without effect, since a tower has no dropout; scale files set it for every encoder.
            train_tower: whether the tower is trained in a stage that trains the encoder.

        Raises:
            ValueError: the sizes of the tower are inconsistent, or its weights do not fit.
        """
        super().__init__()
        self.tower = tower(width, patch_size)
        self.train_tower = train_tower
        self.requires_grad_(True)
        self.width = self.tower.width
        self.patch_size = self.tower.patch_size
        self.stride = 1
        self.canvas: int = self.tower.image_size

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Make the encoder trainable, or freeze it; with `train_tower: false` the tower stays frozen."""
        return super().requires_grad_(requires_grad and self.train_tower)

    def units(self) -> list[nn.Module]:
        """Return the layers of the tower."""
        return self.tower.units()

    def valid_patches(self, shapes: VideoShapes) -> Bool[Tensor, "frames patches"]:
        """Return the mask of the patches inside the valid rectangle of every frame.

        Raises:
            ValueError: the canvas is not that of the tower, frame counts and rectangles disagree, or a rectangle is
                empty or leaves the canvas.
        """
        side = self.canvas // self.patch_size
        if tuple(shapes.canvas) != (side, side):
            raise ValueError(
                f"a canvas of {shapes.canvas[0]} x {shapes.canvas[1]} patches of {self.patch_size} pixels, but "
                f"{type(self.tower).__name__} takes {side} x {side}; set data.init_args.canvas to {self.canvas}, or "
                "image_size of the tower if it has no pretrained weights"
            )
        counts, rectangles = shapes.frame_counts, shapes.rectangles
        if len(counts) == 0 or bool((counts < 1).any()) or int(counts.sum()) != len(rectangles):
            raise ValueError(
                f"frame_counts {counts.tolist()} and {len(rectangles)} rectangles: a batch is at least one clip of at "
                "least one frame, and every frame has a rectangle"
            )
        start, size = rectangles[:, :2], rectangles[:, 2:]
        wrong = ((start < 0) | (size < 1) | (start + size > side)).any(1)
        if bool(wrong.any()):
            frame = int(wrong.nonzero()[0])
            raise ValueError(
                f"rectangle {rectangles[frame].tolist()} (top, left, height, width in patches) of frame {frame} is "
                f"empty or leaves the canvas of {side} x {side} patches"
            )
        place = torch.arange(side)
        rows, columns = (
            (place >= begin[:, None]) & (place < (begin + extent)[:, None])
            for begin, extent in ((start[:, 0], size[:, 0]), (start[:, 1], size[:, 1]))
        )
        return (rows[:, :, None] & columns[:, None]).flatten(1)

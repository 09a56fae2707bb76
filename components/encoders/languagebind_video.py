"""The encoder of Video-LLaVA: LanguageBind's video transformer, every patch a token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from components.encoders.video_encoder import TokenLayout, VideoShapes
from components.encoders.vit_encoder import ViTEncoder, ViTLayout
from components.groups import Groups
from components.vision_transformers import LanguageBindViT, VisionTransformer


@dataclass
class PatchLayout(ViTLayout):
    """Which tokens of the tower are kept.

    Attributes:
        kept: in the flattened (frames, class token and patches).
    """

    kept: Int64[Tensor, " kept"]


class LanguageBindVideo(ViTEncoder):
    """The class token and the patches of every frame (arXiv 2311.10122, section 3.1; paper Tables 1 to 3).

    A square frame has 257 tokens, 2056 for the 8 frames of Video-LLaVA, whose code keeps the class tokens of videos
    (official: the line that would drop them is a comment). Its projector is `MLPProjector`, its tower stays frozen
    (`train_tower: false`).

    Paper Table 3 gives it 425 M parameters, as many as the whole transformer and the MLP projector to 4096 have (here,
    up to the last but one layer, 408.4 M), and 864.1 GFLOPs, which are reached as for `CLIPFrames` with 8 frames, if
    356 tokens are projected here too; projecting all 2056 brings it to 899.8.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        tower: Callable[[int, int], VisionTransformer] = LanguageBindViT,
        **settings: Any,
    ) -> None:
        """Build the tower.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
            tower: vision transformer; `PretrainedLanguageBind` for released weights.
            settings: see ViTEncoder.

        Raises:
            ValueError: the tower's sizes do not go together, or its weights do not fit.
        """
        super().__init__(width, patch_size, tower, **settings)

    def layout(self, shapes: VideoShapes) -> PatchLayout:
        """Work out the tokens of a batch, on the host.

        Raises:
            ValueError: a canvas other than the tower's, or frame counts and rectangles that make no sense.
        """
        valid = self.valid_patches(shapes)
        clips = Groups.of_sizes(shapes.frame_counts)
        keeps = torch.cat([torch.ones(len(valid), 1, dtype=torch.bool), valid], 1)
        counts = torch.zeros_like(shapes.frame_counts).index_add(0, clips.group, keeps.sum(1))
        kept = keeps.flatten().nonzero()[:, 0]
        return PatchLayout(
            token_counts=tuple(counts.tolist()),
            order=torch.arange(len(kept)),
            grid=(kept % keeps.shape[1]).nonzero()[:, 0],  # all but the class tokens
            grids=shapes.rectangles[:, 2:],
            clips=clips,
            kept=kept,
        )

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "features embedding_width"]:
        """Encode normalised frames into the kept tokens, in their order.

        Raises:
            ValueError: frames that the tower does not take, or a clip that is too long for it.
        """
        assert isinstance(layout, PatchLayout)
        tokens: Tensor = self.tower(frames, layout.clips)
        return tokens.flatten(0, 1).index_select(0, layout.kept)

"""The encoder of Video-LLaVA: LanguageBind's video transformer, with one token for every patch."""

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
    """The tokens of the tower that are kept.

    Attributes:
        kept: indices of the kept tokens in the flattened (frames, class token and patches).
    """

    kept: Int64[Tensor, " kept"]


class LanguageBindVideo(ViTEncoder):
    """The class token and the patches of every frame (arXiv 2311.10122, section 3.1; paper Tables 1 to 3).

    A square frame has 257 tokens, so the 8 frames of Video-LLaVA have 2056. Its code keeps the class tokens of videos
    (official: the line that would drop them is commented out). The original uses `MLPProjector` and a frozen tower
    (`train_tower: false`).

    Paper Table 3 gives 425 M parameters, which are those of the whole transformer and the MLP projector to 4096 (here,
    up to the second-to-last layer, 408.4 M), and 864.1 GFLOPs, which result from counting 8 frames as for `CLIPFrames`
    with only 356 projected tokens; projecting all 2056 gives 899.8.
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
            tower: vision transformer that encodes the frames; `PretrainedLanguageBind` for released weights.
            settings: `dropout` and `train_tower`, see ViTEncoder.

        Raises:
            ValueError: the sizes of the tower are inconsistent, or its weights do not fit.
        """
        super().__init__(width, patch_size, tower, **settings)

    def layout(self, shapes: VideoShapes) -> PatchLayout:
        """Compute the token layout of a batch, on the host.

        Raises:
            ValueError: the canvas is not that of the tower, or frame counts and rectangles are invalid.
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
            ValueError: the frames are not of the size that the tower accepts, or a clip is too long for it.
        """
        assert isinstance(layout, PatchLayout)
        tokens: Tensor = self.tower(frames, layout.clips)
        return tokens.flatten(0, 1).index_select(0, layout.kept)

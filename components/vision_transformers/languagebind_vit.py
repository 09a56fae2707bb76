"""The video transformer of LanguageBind: that of CLIP with attention over time before every layer."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.groups import Groups
from components.vision_transformers.clip_vit import CLIPViT, SelfAttention


class TemporalAttention(nn.Module):
    """Attention of a patch to the same place in all frames of its clip; residual, after adding a time embedding.

    With a single point in time the embedding is stored but not added (official).
    """

    def __init__(self, width: int, heads: int, frames: int) -> None:
        super().__init__()
        embedding = torch.randn(frames, width) * width**-0.5
        if frames > 1:
            self.embedding = nn.Parameter(embedding)
        else:
            self.register_buffer("embedding", embedding)
        self.knows_time = frames > 1
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)

    def forward(
        self, tokens: Float[Tensor, "frames tokens width"], clips: Groups
    ) -> Float[Tensor, "frames tokens width"]:
        """Let the tokens of each clip attend over time."""
        count, longest = clips.members.shape
        if self.knows_time:
            tokens = tokens + self.embedding.index_select(0, clips.slots % longest)[:, None]
        # (clips, frames, tokens, C) -> sequences over time, one per clip and token; short clips are padded and masked.
        padded = clips.pad(self.norm(tokens), 0.0).transpose(1, 2)
        visible = clips.visible
        if visible is not None:
            visible = visible[:, None].expand(-1, tokens.shape[1], -1).flatten(0, 1)
        seen = self.attention(padded.flatten(0, 1), visible)
        return tokens + clips.unpad(seen.unflatten(0, (count, -1)).transpose(1, 2))


class LanguageBindViT(CLIPViT):
    """LanguageBind's video transformer with random weights (arXiv 2310.01852), by default in the released sizes.

    It has a fixed number of time embeddings. A shorter clip uses the first of them; a longer clip is refused, since
    it would have none for its last frames. (The official code supports neither: it fails unless the frames of all clips
    together are a multiple of that number, and then treats neighbouring short clips as one.)

    The whole transformer has 404,187,136 parameters, one that ends at its second-to-last layer 387,380,224.

    Initialisation: time embeddings N(0, 1 / width) (official); elsewhere as `CLIPViT`.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        image_size: int = 224,
        layers: int = 24,
        heads: int = 16,
        frames: int = 8,
        output_layer: int = -2,
        activation: Callable[[], nn.Module] = nn.GELU,
        stored_layers: int | None = None,
        computed_layers: int | None = None,
    ) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
            image_size: side of a frame in pixels.
            layers: number of layers of the whole transformer.
            heads: number of attention heads, in space and in time; must divide the width.
            frames: number of time embeddings, which is the number of frames of the longest clip.
            output_layer: layer whose output is returned, counted from 1, or from the end with -1 for the last.
            activation: activation between the linear layers of the feed-forward layer.
            stored_layers: number of layers that are built, see `CLIPViT`; None builds those needed for the output.
            computed_layers: number of layers that are computed, see `CLIPViT`; None computes those needed.

        Raises:
            ValueError: a size is not positive or not divisible as needed, or the output layer does not exist.
        """
        super().__init__(
            width, patch_size, image_size, layers, heads, output_layer, activation, stored_layers, computed_layers
        )
        if frames < 1:
            raise ValueError(f"frames: {frames} is not at least 1 (init_args of the tower)")
        self.frames = frames
        self.temporal = nn.ModuleList(TemporalAttention(width, heads, frames) for _ in self.blocks)

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], clips: Groups
    ) -> Float[Tensor, "frames tokens embedding_width"]:
        """Encode the frames; every frame sees the others of its clip.

        Raises:
            ValueError: the frames are not of size `image_size`, or a clip has more frames than time embeddings.
        """
        longest = clips.members.shape[1]
        if longest > self.frames:
            raise ValueError(
                f"a clip has {longest} frames, but the tower has time embeddings for {self.frames}; take at most "
                f"{self.frames} per clip (data.init_args.sampler)"
            )
        return super().forward(frames, clips)

    def layer(self, number: int, tokens: Tensor, clips: Groups) -> Tensor:
        """Return the output of a layer, counted from 0: attention over time, then every frame separately."""
        output: Tensor = self.blocks[number](self.temporal[number](tokens, clips))
        return output

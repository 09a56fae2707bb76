"""The vision transformer of InternVideo2 (Wang et al., ECCV 2024), under the names of its published weights.

All patches of all frames and one class token attend to each other. It differs from a plain vision transformer in
RMSNorm, queries and keys normalised over all heads together, a learned scale after attention and MLP, and separate
position embeddings for clips and images. Parts that only its own training needs (attention pooling, decoders) are left
out.

Legend: B clips, T frames, P patches of a frame, N = 1 + T * P tokens.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class LayerScale(nn.Module):
    """Scales every channel by a learned factor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scaled tokens."""
        return tokens * self.gamma


class Attention(nn.Module):
    """Self-attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.RMSNorm(width, eps=1e-6)
        self.k_norm = nn.RMSNorm(width, eps=1e-6)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "clips tokens width"]) -> Float[Tensor, "clips tokens width"]:
        """Let every token attend to all tokens of its clip."""
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q_norm(query), self.k_norm(key), value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return attended


class FeedForward(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform every token separately."""
        output: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return output


class Block(nn.Module):
    """One layer: attention, then a feed-forward layer."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.RMSNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, hidden)
        self.ls2 = LayerScale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after this layer."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        output: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return output


class PatchEmbedding(nn.Module):
    """Maps patches of single frames to tokens; the published kernel has a time axis of length one."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        size = (1, patch_size, patch_size)
        self.proj = nn.Conv3d(3, width, kernel_size=size, stride=size)

    def forward(self, clips: Float[Tensor, "clips frames 3 height width"]) -> Float[Tensor, "clips frames patches dim"]:
        """Return the tokens of the patches of every frame, row by row."""
        patches: Tensor = self.proj(clips.transpose(1, 2))
        return patches.flatten(3).permute(0, 2, 3, 1)


class InternVideo2ViT(nn.Module):
    """Returns the hidden state after its last layer; there is no final norm.

    An untrained network differs from the published initialisation: layer scales are 1 instead of 1e-5, so that the
    layers have an effect, and position embeddings are random instead of sines.
    """

    def __init__(
        self, width: int, layers: int, heads: int, hidden: int, patch_size: int, frames: int, side: int
    ) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            layers: number of layers.
            heads: number of attention heads; must divide the width.
            hidden: size of the hidden layer of the MLP.
            patch_size: side of a patch in pixels.
            frames: number of frames in the stored position embeddings.
            side: number of patches along each side in the stored position embeddings.
        """
        super().__init__()
        self.frames = frames
        self.side = side
        self.patch_embed = PatchEmbedding(width, patch_size)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + frames * side**2, width))
        self.img_pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + side**2, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))

    def forward(self, clips: Float[Tensor, "clips frames 3 height width"]) -> Float[Tensor, "clips frames patches dim"]:
        """Return the tokens of the patches, without the class token; a clip of one frame is an image."""
        patches = self.patch_embed(clips)
        frames = patches.shape[1]
        side = clips.shape[-1] // self.patch_embed.proj.kernel_size[-1]
        tokens = torch.cat([self.cls_token.expand(len(clips), -1, -1), patches.flatten(1, 2)], dim=1)
        tokens = tokens + self.positions(frames, side)
        for block in self.blocks:
            tokens = block(tokens)
        hidden: Tensor = tokens[:, 1:].unflatten(1, (frames, -1))
        return hidden

    def positions(self, frames: int, side: int) -> Float[Tensor, "1 tokens dim"]:
        """Return position embeddings, interpolated if a clip has other sizes than the stored ones.

        Interpolation is linear in time, then bicubic in space, as published for other frame counts and resolutions.
        """
        stored, stored_frames = (self.img_pos_embed, 1) if frames == 1 else (self.pos_embed, self.frames)
        class_token, grid = stored[:, :1], stored[0, 1:].unflatten(0, (stored_frames, -1))
        if frames != stored_frames:
            grid = functional.interpolate(grid.permute(1, 2, 0), size=frames, mode="linear").permute(2, 0, 1)
        if side != self.side:
            planes = grid.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)
            planes = functional.interpolate(planes, size=(side, side), mode="bicubic", align_corners=False)
            grid = planes.permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([class_token, grid.flatten(0, 1)[None]], dim=1)

"""Perceiver resampler: downsampling without windows, by latents that attend to their whole frame."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from components.groups import Groups
from components.stab.downsampling import SpatialDownsampling, check_stride


class PerceiverLayer(nn.Module):
    """Latents attend to [tokens, latents], then a feed-forward layer; both residual, with layer norms before them.

    Linear layers have no bias (Flamingo). Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.latent_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width, bias=False),
            nn.GELU(),
            nn.Linear(4 * width, width, bias=False),
        )

    def forward(
        self,
        latents: Float[Tensor, "frames latents width"],
        tokens: Float[Tensor, "frames tokens width"],
        visible: Bool[Tensor, "frames tokens_and_latents"],
    ) -> Float[Tensor, "frames latents width"]:
        """Update the latents by attention to the visible tokens and latents."""
        queries = self.latent_norm(latents)
        keys = torch.cat([self.token_norm(tokens), queries], 1)
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(queries), *self.key_value(keys).chunk(2, -1))
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None])
        latents = latents + self.output(attended.transpose(1, 2).flatten(2))
        updated: Tensor = latents + self.feed_forward(latents)
        return updated


class PerceiverResampler(SpatialDownsampling):
    """Learned latents attend to the patches of a frame (paper table 9; layers as in Flamingo, arXiv 2204.14198).

    The paper states neither the number of latents nor that of layers. Here a frame has as many latents as windows, so
    that the language model reads as many tokens as with `LSD`, in rows of the same length. The k-th latent gives the
    k-th token of a frame of any shape, so a latent is not tied to a place. Initialisation: latents N(0, 0.02), so that
    tokens depend on the frame from the start; PyTorch's default elsewhere.
    """

    def __init__(self, width: int, heads: int = 8, layers: int = 2, latents: int = 256, stride: int = 2) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            heads: number of attention heads; must divide the width.
            layers: number of layers.
            latents: number of latents, which is the largest number of windows in a frame; 256 suffice for a square
                frame of the size in the paper.
            stride: side of a window in patches; a frame has as many tokens as windows.

        Raises:
            ValueError: the width is not a multiple of the heads, or a number is not positive.
        """
        super().__init__(width)
        for name, number in {"heads": heads, "layers": layers, "latents": latents}.items():
            if number < 1:
                raise ValueError(f"downsampling.init_args.{name}: {number} is not at least 1")
        if width % heads:
            raise ValueError(
                f"heads: {heads} does not divide the width {width}; choose downsampling.init_args.heads so that it "
                f"does, or another model.encoder.init_args.width"
            )
        self.stride = check_stride(stride)
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.02)
        self.layers = nn.ModuleList(PerceiverLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Resample each frame.

        Raises:
            ValueError: a frame has more windows than there are latents.
        """
        count, most = frames.occupied.shape
        if most > len(self.latents):
            raise ValueError(
                f"a frame of {most} windows needs as many latents, but there are {len(self.latents)}; set "
                f"model.encoder.init_args.downsampling.init_args.latents to {most} or more"
            )
        tokens = frames.pad(windows, 0.0).flatten(1, 2)
        visible = torch.cat([frames.occupied.repeat_interleave(windows.shape[1], 1), frames.occupied], 1)
        latents = self.latents[:most].expand(count, -1, -1)
        for layer in self.layers:
            latents = layer(latents, tokens, visible)
        resampled: Tensor = self.norm(frames.unpad(latents))
        return resampled

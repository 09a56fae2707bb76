"""The interface of a vision transformer, and that of CLIP, which Video-ChatGPT uses and LanguageBind extends in time.

Which tokens are kept, pooled or compared is decided by the encoder or teacher that contains it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from components.groups import Groups
from components.quick_gelu import QuickGELU
from components.stab.patch_embedding import PatchEmbedding


class VisionTransformer(nn.Module, ABC):
    """Encodes frames patch by patch: the family `vision_transformers`, the slot `tower`.

    Attributes:
        width: size C of a token.
        patch_size: side of a patch in pixels.
        image_size: side of the frames in pixels; no other size is accepted, since it has position embeddings only for
            this one.
    """

    width: int
    patch_size: int
    image_size: int

    def units(self) -> list[nn.Module]:
        """Return the layers, each of which runs once per forward pass; a sharded model gathers them one at a time."""
        return [layer for part in self.children() if isinstance(part, nn.ModuleList) for layer in part]

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], clips: Groups
    ) -> Float[Tensor, "frames tokens embedding_width"]:
        """Return the class token and the patch tokens, row by row, of every frame.

        Args:
            frames: normalised frames of all clips, concatenated.
            clips: frames of each clip, from `Groups.of_sizes(frame_counts)`, on the device of the frames.

        Raises:
            ValueError: the frames are not of size `image_size`.
        """


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases in all projections; the logits are scaled by head size ** -0.5."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "sequences tokens width"], visible: Bool[Tensor, "sequences tokens"] | None = None
    ) -> Float[Tensor, "sequences tokens width"]:
        """Let every token attend to the visible tokens of its sequence, of which there must be at least one."""
        query, key, value = (
            projection(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        mask = None if visible is None else visible[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


class Block(nn.Module):
    """One layer: attention within a frame, then a feed-forward layer; both residual, with a norm before them."""

    def __init__(self, width: int, heads: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "frames tokens width"]) -> Float[Tensor, "frames tokens width"]:
        """Encode each frame separately."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        encoded: Tensor = tokens + self.feed_forward(self.feed_forward_norm(tokens))
        return encoded


class CLIPViT(VisionTransformer):
    """The ViT of CLIP with random weights; the default sizes are those of ViT-L/14 at 224 pixels (arXiv 2103.00020).

    By default only the layers up to the returned hidden state are built: later layers and the final norm, which CLIP
    applies to its class token only, have no effect. A whole ViT-L/14 has 303,179,776 parameters, one that ends at its
    second-to-last layer 290,581,504.

    Initialisation: class token N(0, 1 / width), positions N(0, 0.02^2) as in CLIP, PyTorch's default elsewhere.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        image_size: int = 224,
        layers: int = 24,
        heads: int = 16,
        output_layer: int = -2,
        activation: Callable[[], nn.Module] = QuickGELU,
        stored_layers: int | None = None,
        computed_layers: int | None = None,
    ) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
            image_size: side of a frame in pixels.
            layers: number of layers of the whole transformer.
            heads: number of attention heads; must divide the width.
            output_layer: layer whose output is returned, counted from 1, or from the end with -1 for the last; LLaVA,
                Video-ChatGPT, Video-LLaVA and the teacher of Video-Panda use the second-to-last.
            activation: activation between the linear layers of the feed-forward layer.
            stored_layers: number of layers that are built, to reproduce published costs; None builds those needed for
                the output.
            computed_layers: number of layers that are computed, to reproduce published costs; None computes those
                needed for the output.

        Raises:
            ValueError: a size is not positive or not divisible as needed, or the output layer does not exist.
        """
        super().__init__()
        for name, size in {"width": width, "patch_size": patch_size, "layers": layers, "heads": heads}.items():
            if size < 1:
                raise ValueError(f"{name}: {size} is not at least 1 (init_args of the encoder or its tower)")
        if width % heads:
            raise ValueError(
                f"heads: {heads} does not divide the width {width}; choose init_args.heads of the tower so that it "
                "does, or another width"
            )
        if image_size < patch_size or image_size % patch_size:
            raise ValueError(
                f"image_size: {image_size} is not a multiple of patches of {patch_size} pixels; choose "
                "init_args.image_size of the tower so that it is, or another patch_size"
            )
        depth = output_layer if output_layer > 0 else layers + 1 + output_layer
        if output_layer == 0 or not 1 <= depth <= layers:
            raise ValueError(
                f"output_layer: {output_layer} is none of {layers} layers; it must be 1..{layers} or -{layers}..-1"
            )
        self.width = width
        self.patch_size = patch_size
        self.image_size = image_size
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.patch_embedding = PatchEmbedding(width, patch_size)
        self.position_embedding = nn.Parameter(torch.randn(1 + (image_size // patch_size) ** 2, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.depth = depth
        self.computed = depth if computed_layers is None else computed_layers
        stored = max(depth, self.computed) if stored_layers is None else stored_layers
        if not depth <= self.computed <= stored <= layers:
            raise ValueError(
                f"of {layers} layers, {depth} lead to the output, {self.computed} are to be computed "
                f"(computed_layers) and {stored} to be there (stored_layers of the tower); none of these may be less "
                "than the one before it, or more than there are"
            )
        self.blocks = nn.ModuleList(Block(width, heads, activation) for _ in range(stored))

    def embed(self, frames: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames tokens embedding_width"]:
        """Return the input of the first layer: class token and patches with position embeddings.

        Raises:
            ValueError: the frames are not of size `image_size`.
        """
        if tuple(frames.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f"frames of {frames.shape[2]} x {frames.shape[3]} pixels, but {type(self).__name__} takes "
                f"{self.image_size} x {self.image_size}"
            )
        patches = self.patch_embedding(frames).flatten(1, 2)
        class_token = self.class_embedding.to(patches.dtype).expand(len(frames), 1, -1)
        tokens: Tensor = self.norm(torch.cat([class_token, patches], 1) + self.position_embedding)
        return tokens

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], clips: Groups
    ) -> Float[Tensor, "frames tokens embedding_width"]:
        """Encode the frames.

        Raises:
            ValueError: the frames are not of size `image_size`.
        """
        tokens = output = self.embed(frames)
        for number in range(self.computed):
            tokens = self.layer(number, tokens, clips)
            output = tokens if number < self.depth else output
        return output

    def layer(self, number: int, tokens: Tensor, clips: Groups) -> Tensor:
        """Return the output of a layer, counted from 0; every frame is encoded separately."""
        output: Tensor = self.blocks[number](tokens)
        return output

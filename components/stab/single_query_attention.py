"""Multi-head attention with one query per group of tokens, at a fraction of the usual cost.

GSTRA, LSD and FSRA each condense many tokens with a single query. Usually, every token is projected to a key and a
value. But q . (K x) = (K^T q) . x, so the single query can be projected into the space of the tokens instead, and the
weighted sum of values is the value projection of the weighted sum of tokens. The function is the same, but the two
large projections act on groups instead of tokens.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class SingleQueryAttention(nn.Module):
    """Attention of one query per group, with layer norms on query and tokens.

    The weights have the shapes of the usual formulation. Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, heads: int, scale: float, bias: bool) -> None:
        """Build the layers.

        Args:
            width: size of queries, tokens and results.
            heads: number of attention heads; must divide the width.
            scale: factor of the logits.
            bias: whether queries, keys and values have a bias. The bias of the keys shifts all logits of a query
                equally and so has no effect; it exists only because the official weights have it.

        Raises:
            ValueError: the width is not a multiple of the heads.
        """
        super().__init__()
        if heads < 1 or width % heads != 0:
            raise ValueError(
                f"heads: {heads} does not divide the width {width}; choose init_args.heads so that it does, "
                f"or another model.encoder.init_args.width"
            )
        self.heads = heads
        self.scale = scale
        self.query_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=bias)
        self.token_norm = nn.LayerNorm(width)
        self.key_value = nn.Linear(width, 2 * width, bias=bias)
        self.output = nn.Linear(width, width)

    def forward(
        self,
        query: Float[Tensor, "groups width"],
        tokens: Float[Tensor, "groups tokens width"],
        visible: Bool[Tensor, "groups tokens"] | None = None,
    ) -> Float[Tensor, "groups width"]:
        """Let each query attend to the visible tokens of its group, of which there must be at least one."""
        tokens = self.normalise(tokens)
        return self.project(self.weights(query, tokens, visible) @ tokens)

    def normalise(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
        """Normalise tokens, in their own type: two products read them, and autocast would convert them for each."""
        normalised: Tensor = self.token_norm(tokens).to(tokens.dtype)
        return normalised

    def weights(
        self,
        query: Float[Tensor, "groups width"],
        normalised: Float[Tensor, "groups tokens width"],
        visible: Bool[Tensor, "groups tokens"] | None = None,
    ) -> Float[Tensor, "groups heads tokens"]:
        """Return the attention weights of each query on the normalised tokens of its group; each head adds up to 1."""
        logits = self.query_in_token_space(query) @ normalised.mT
        if visible is not None:
            logits = logits.masked_fill(~visible[:, None], -torch.inf)
        return logits.softmax(-1)

    def query_in_token_space(self, query: Float[Tensor, "groups width"]) -> Float[Tensor, "groups heads width"]:
        """Project queries so that their dot product with a normalised token is its logit, up to a constant."""
        projected = self.query(self.query_norm(query)).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        keys = self.key_value.weight.chunk(2)[0].unflatten(0, (self.heads, -1))
        # Product and scale in one operation; what would be added has no weight and is never read.
        nothing = projected.new_empty(1, 1, 1)
        return torch.baddbmm(nothing, projected, keys, beta=0, alpha=self.scale).transpose(0, 1)

    def project(self, mixed: Float[Tensor, "groups heads width"]) -> Float[Tensor, "groups width"]:
        """Turn weighted sums of normalised tokens, one per head, into the result of the attention."""
        values = self.key_value.weight.chunk(2)[1].unflatten(0, (self.heads, -1))
        result = torch.einsum("ghw,hdw->ghd", mixed, values).flatten(1)
        if self.key_value.bias is not None:
            # The weights add up to one, so the bias can be added after the sum.
            result = result + self.key_value.bias.chunk(2)[1]
        output: Tensor = self.output(result)
        return output

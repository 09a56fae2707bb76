"""Parts that do not see padding: what the paper says ("valid tokens only", section 4.1) and the official code does not.

They have the parameters of the parts that they mask, and compute the same where a frame fills its canvas.
"""

from jaxtyping import Float
from torch import Tensor

from components.stab.chunks import Chunks
from components.stab.local_encoding import LSTE
from components.stab.valid_area import ValidArea
from components.stab.video_aggregator import GSTRA


class MaskedLSTE(LSTE):
    """LSTE of the valid cells alone: as if the canvas ended where the picture does.

    Padding counts as zero in both convolutions, is left out of the statistics of the batch normalisation, and comes out
    as zeros. The linear layers skip it, so this is cheaper than `LSTE` on any frame with padding.
    """

    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Encode the valid cells, inside their chunks."""
        seen = valid.pick(patches)
        clip = chunks.clips.group.index_select(0, valid.cells // (patches.shape[1] * patches.shape[2]))
        reduced = valid.spread(self.reduce(self.normalise(seen, clip, chunks)))
        tokens = seen + self.expand(valid.pick(self.temporal(reduced, chunks)))
        encoded = self.position_encoding(valid.spread(tokens), chunks)
        return valid.spread(valid.pick(encoded))


class MaskedGSTRA(GSTRA):
    """GSTRA that attends to the valid cells of its chunk alone."""

    def visible(
        self, logits: Float[Tensor, "video_frames cells heads"], valid: ValidArea
    ) -> Float[Tensor, "video_frames cells heads"]:
        """Hide padding."""
        return logits.masked_fill(~valid.inside.flatten(1)[..., None], -float("inf"))

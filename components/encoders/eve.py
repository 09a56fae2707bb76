"""EVE's tokenizer as a video encoder: STAB without anything that looks beyond a frame."""

from collections.abc import Callable

from components.encoders.stab import STAB
from components.stab import (
    FSRA,
    LSD,
    BareFrame,
    LearnedRowTokens,
    NoLocalEncoding,
    NoVideoAggregator,
    RowTokens,
    SpatialDownsampling,
)


class EVE(STAB):
    """Every frame as an image (paper Tables 1 and 2, "EVE*", appendix F; arXiv 2406.11832).

    Patch embedding, downsampling, one token in front of the frame and one after every row: the parts that Video-Panda
    takes over from EVE, and that an image passes through in the official code. 29,982,720 parameters with the MLP
    projector to a width of 4096. It is `STAB` with its slots set, so what loads weights for that one loads them here.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        dropout: float = 0.5,
        downsampling: Callable[[int], SpatialDownsampling] = LSD,
        row_tokens: Callable[[int], RowTokens] = LearnedRowTokens,
    ) -> None:
        """Build the parts.

        Args:
            width: size of every token inside.
            patch_size: side of a patch in pixels.
            dropout: has no use here; encoders take the same sizes, so that a scale goes with any.
            downsampling: merges windows of patches.
            row_tokens: what ends a row of tokens.

        Raises:
            ValueError: a size is not positive, or the parts cannot be that wide.
        """
        super().__init__(
            width,
            patch_size,
            dropout=dropout,
            local_encoding=NoLocalEncoding,
            video_aggregator=NoVideoAggregator,
            downsampling=downsampling,
            frame_aggregator=FSRA,
            fusion=BareFrame,
            row_tokens=row_tokens,
        )

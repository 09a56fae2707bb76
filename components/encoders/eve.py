"""EVE's tokenizer as a video encoder: STAB without anything that looks beyond a frame."""

from typing import Any

from components.encoders.stab import STAB
from components.stab import (
    FSRA,
    AfterLocalEncoding,
    BareFrame,
    EqualChunks,
    NoLocalEncoding,
    NoVideoAggregator,
    PatchEmbedding,
)


class EVE(STAB):
    """Every frame as an image (paper Tables 1 and 2, "EVE*", appendix F; arXiv 2406.11832).

    Patch embedding, downsampling, one token in front of the frame and one after every row: the parts that Video-Panda
    takes over from EVE, and that an image passes through in the official code. 29,982,720 parameters with the MLP
    projector to a width of 4096. It is `STAB` with its slots set, so what loads weights for that one loads them here.
    """

    def __init__(self, width: int = 1024, patch_size: int = 14, **settings: Any) -> None:
        """Build the parts.

        Args:
            width: size of every token inside.
            patch_size: side of a patch in pixels.
            settings: `dropout`, `downsampling` and `row_tokens`, see STAB.

        Raises:
            ValueError: a size is not positive, or the parts cannot be that wide.
        """
        super().__init__(
            width,
            patch_size,
            chunk_frames=4,
            patch_embedding=PatchEmbedding,
            local_encoding=NoLocalEncoding,
            video_aggregator=NoVideoAggregator,
            frame_aggregator=FSRA,
            fusion=BareFrame,
            chunking=EqualChunks,
            downsampling_placement=AfterLocalEncoding,
            **settings,
        )

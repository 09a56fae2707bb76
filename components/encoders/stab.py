"""STAB, Video-Panda's Spatio-Temporal Alignment Block, composed of exchangeable parts; EVE is a special case of it.

The parts are in `components/stab`, one file for each slot.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from components.encoders.stab_layout import STABLayout, stab_layout
from components.encoders.video_encoder import TokenLayout, VideoEncoder, VideoShapes
from components.stab import (
    FSRA,
    GSTRA,
    LSD,
    LSTE,
    AfterLocalEncoding,
    BareFrame,
    Chunking,
    ContextFusion,
    DownsamplingPlacement,
    EqualChunks,
    FrameAggregator,
    FrameOnly,
    LearnedFusion,
    LearnedRowTokens,
    LocalEncoding,
    NoContext,
    NoFrameAggregator,
    NoLocalEncoding,
    NoVideoAggregator,
    PatchEmbedding,
    RowTokens,
    SpatialDownsampling,
    VideoAggregator,
    VideoOnly,
)
from components.stab.grid import of_videos

_FITTING_FUSION = {
    (True, True): LearnedFusion,
    (True, False): FrameOnly,
    (False, True): VideoOnly,
    (False, False): NoContext,
}


class STAB(VideoEncoder):
    """Spatio-Temporal Alignment Block (paper section 3.1, figure 2; official: `VideoTokenizer`).

    A clip of one frame is an image and skips local encoding, video aggregation and fusion (official).
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        chunk_frames: int = 4,
        dropout: float = 0.5,
        patch_embedding: Callable[[int, int], PatchEmbedding] = PatchEmbedding,
        local_encoding: Callable[[int], LocalEncoding] = LSTE,
        video_aggregator: Callable[[int, float], VideoAggregator] = GSTRA,
        downsampling: Callable[[int], SpatialDownsampling] = LSD,
        frame_aggregator: Callable[[int], FrameAggregator] = FSRA,
        fusion: Callable[[int, float], ContextFusion] = LearnedFusion,
        row_tokens: Callable[[int], RowTokens] = LearnedRowTokens,
        chunking: Callable[[int], Chunking] = EqualChunks,
        downsampling_placement: Callable[[], DownsamplingPlacement] = AfterLocalEncoding,
    ) -> None:
        """Build the parts.

        Args:
            width: size of every token in the block.
            patch_size: side of a patch in pixels.
            chunk_frames: number of frames per chunk, within which local encoding and video aggregation mix time; the
                default chunking cuts a clip into max(1, frames // chunk_frames) chunks of nearly equal length.
            dropout: dropout probability of the video aggregator and the fusion, 0 to below 1 (official: 0.5).
            patch_embedding: layer that maps patches of pixels to tokens.
            local_encoding: part that relates patches to their neighbours in space and time.
            video_aggregator: part that condenses a chunk into one token, the video context.
            downsampling: part that merges a window of patches into one token.
            frame_aggregator: part that condenses a frame into one token, the frame context.
            fusion: part that makes the context token before each frame from both contexts.
            row_tokens: part that marks the end of every row of tokens.
            chunking: rule for cutting clips into chunks.
            downsampling_placement: whether windows are merged after or before local encoding.

        Raises:
            ValueError: a size is not positive, `dropout` is out of range, or the fusion does not fit the aggregators.
        """
        super().__init__()
        for name, value in {"width": width, "patch_size": patch_size, "chunk_frames": chunk_frames}.items():
            if value < 1:
                raise ValueError(f"model.encoder.init_args.{name}: {value} is not at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.encoder.init_args.dropout: {dropout} is not a share in 0..1 (1 excluded)")
        self.width = width
        self.chunk_frames = chunk_frames
        self.patch_embedding = patch_embedding(width, patch_size)
        self.local_encoding = local_encoding(width)
        self.video_aggregator = video_aggregator(width, dropout)
        self.downsampling = downsampling(width)
        self.frame_aggregator = frame_aggregator(width)
        self.fusion = fusion(width, dropout)
        self.row_tokens = row_tokens(width)
        self.chunking = chunking(chunk_frames)
        self.downsampling_placement = downsampling_placement()
        self.patch_size = self.patch_embedding.patch_size
        self.stride = self.downsampling.stride
        self._check_fusion()

    def layout(self, shapes: VideoShapes) -> STABLayout:
        """Compute the token layout of a batch, on the host.

        Raises:
            ValueError: frame counts and rectangles disagree, or a rectangle leaves the canvas or contains no window.
        """
        return stab_layout(
            shapes,
            stride=self.stride,
            cell_side=self.downsampling_placement.cell_side(self.stride),
            chunking=self.chunking,
            shortest_video=self.fusion.shortest_video,
            contexts=self.fusion.tokens_per_frame,
            row_tokens=self.row_tokens.tokens_per_row,
        )

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "features embedding_width"]:
        """Encode normalised frames into [context token per frame, windows, row token].

        Raises:
            ValueError: the layout is for another canvas.
        """
        assert isinstance(layout, STABLayout)
        patches = self.patch_embedding(frames)
        if tuple(patches.shape[1:3]) != tuple(layout.canvas):
            raise ValueError(
                f"frames of {patches.shape[1]} x {patches.shape[2]} patches do not fit a layout for a canvas of "
                f"{layout.canvas[0]} x {layout.canvas[1]}"
            )
        grid = self.downsampling_placement.make_grid(self.downsampling, patches, layout.shift)
        encoded = self.local_encoding(of_videos(grid, layout.video_frames), layout.chunks, layout.valid)
        connected = self.local_encoding.connect(grid, encoded, layout.video_frames)
        windows = layout.cells.take(connected.flatten(0, 2)).unflatten(0, (len(layout.frames.group), -1))
        tokens = self.downsampling_placement.make_tokens(self.downsampling, windows, layout.frames)

        frame_context = self.frame_aggregator(tokens, layout.frames)
        video_context = layout.chunks.spread(self.video_aggregator(encoded, layout.chunks, layout.valid))
        context = self.fusion(frame_context, video_context, layout.video_frames)
        features: Tensor = self.row_tokens(torch.cat([context, tokens]))
        return features

    def _check_fusion(self) -> None:
        """Refuse a fusion that reads a missing context, or ignores an aggregator, which would then never be trained."""
        has_frame = not isinstance(self.frame_aggregator, NoFrameAggregator)
        has_video = not isinstance(self.video_aggregator, NoVideoAggregator)
        fitting = _FITTING_FUSION[has_frame, has_video].__name__
        fusion = type(self.fusion).__name__
        for context, slot, part, is_present, is_read in (
            ("frame", "frame_aggregator", self.frame_aggregator, has_frame, self.fusion.reads_frame),
            ("video", "video_aggregator", self.video_aggregator, has_video, self.fusion.reads_video),
        ):
            if is_present != is_read:
                verb = "reads" if is_read else "does not read"
                raise ValueError(
                    f"fusion {fusion} {verb} the {context} context, but {slot} is {type(part).__name__}; "
                    f"set model.encoder.init_args.fusion to {fitting}, or another model.encoder.init_args.{slot}"
                )


class EVE(STAB):
    """Encodes every frame as an image (paper Tables 1 and 2, "EVE*", appendix F; arXiv 2406.11832).

    It has the parts that Video-Panda takes over from EVE, and that images pass through in the official code: patch
    embedding, downsampling, one token before each frame and one after every row. With the MLP projector to a width of
    4096 it has 29,982,720 parameters. It is `STAB` with fixed slots, so weights load in the same way.
    """

    def __init__(self, width: int = 1024, patch_size: int = 14, **settings: Any) -> None:
        """Build the parts.

        Args:
            width: size of every token in the block.
            patch_size: side of a patch in pixels.
            settings: `dropout`, `downsampling` and `row_tokens`, see STAB.

        Raises:
            ValueError: a size is not positive, or the width does not suit the parts.
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

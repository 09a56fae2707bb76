"""STAB as one would first write it, from the paper and the official behaviour: the yardstick of `components`.

Loops over clips, chunks and frames, projects every token to a key and a value, convolves with Conv3d and projects every
row token. It owns no weights but uses those of a `STAB`, so both must give the same tokens and the same gradients.
Only the composition of the paper is covered; lengths of chunks follow the official rule.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders import STAB, VideoShapes
from components.stab.chunking import chunk_sizes
from components.stab.local_encoding import LSTE
from components.stab.single_query_attention import SingleQueryAttention


def plain_attention(attention: SingleQueryAttention, query: Tensor, tokens: Tensor) -> Tensor:
    """Attend from queries (groups, 1, width) to tokens (groups, length, width) with full keys and values."""
    split = (attention.heads, -1)
    queries = attention.query(attention.query_norm(query)).unflatten(-1, split).transpose(1, 2)
    keys, values = attention.key_value(attention.token_norm(tokens)).chunk(2, dim=-1)
    keys, values = (x.unflatten(-1, split).transpose(1, 2) for x in (keys, values))
    weights = (queries @ keys.mT * attention.scale).softmax(-1)
    return attention.output((weights @ values).transpose(1, 2).flatten(2))


class PlainSTAB(nn.Module):
    """The same function as the `STAB` whose weights it uses."""

    def __init__(self, stab: STAB) -> None:
        """Take over a block of the paper's composition."""
        super().__init__()
        self.stab = stab

    def forward(self, frames: Tensor, shapes: VideoShapes) -> list[Tensor]:
        """Encode normalised frames (F, 3, H, W) into the tokens of each frame, in order."""
        tokens, done = [], 0
        for count in shapes.frame_counts.tolist():
            patches = self._patches(frames[done : done + count])
            rectangles = shapes.rectangles[done : done + count].tolist()
            done += count
            if count == 1:
                tokens.append(self._frame(patches[0], rectangles[0], None))
                continue
            first = 0
            for size in chunk_sizes(torch.tensor([count]), self.stab.chunk_frames).tolist():
                chunk = patches[first : first + size]
                encoded = self._encode(chunk)
                video = self._video_context(encoded)
                for frame, rectangle in zip(encoded + chunk, rectangles[first : first + size], strict=True):
                    tokens.append(self._frame(frame, rectangle, video))
                first += size
        return tokens

    def _patches(self, frames: Tensor) -> Tensor:
        side = self.stab.patch_size
        weight = self.stab.patch_embedding.projection.weight.unflatten(1, (3, side, side))
        return F.conv2d(frames, weight, stride=side)

    def _encode(self, chunk: Tensor) -> Tensor:
        lste = self.stab.local_encoding
        assert isinstance(lste, LSTE)
        x = chunk.transpose(0, 1)[None]  # (1, width, frames, rows, columns), as Conv3d wants it
        norm = lste.norm
        y = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum)
        y = F.conv3d(y, lste.reduce.weight[..., None, None, None], lste.reduce.bias)
        taps = lste.temporal.weight[:, None, :, None, None]
        y = F.conv3d(y, taps, lste.temporal.bias, padding=(1, 0, 0), groups=len(taps))
        x = x + F.conv3d(y, lste.expand.weight[..., None, None, None], lste.expand.bias)
        encoding = lste.position_encoding
        x = x + F.conv3d(x, encoding.weight, encoding.bias, padding=1, groups=x.shape[1])
        return x[0].transpose(0, 1)

    def _video_context(self, encoded: Tensor) -> Tensor:
        gstra = self.stab.video_aggregator
        query = gstra.query[None, None]
        video = query + plain_attention(gstra.attention, query, encoded.flatten(2).mT.flatten(0, 1)[None])
        return (video + gstra.feed_forward(gstra.feed_forward_norm(video)))[0, 0]

    def _frame(self, patches: Tensor, rectangle: list[int], video: Tensor | None) -> Tensor:
        top, left, height, width = rectangle
        stride, fsra, fusion = self.stab.stride, self.stab.frame_aggregator, self.stab.fusion
        rows, columns = height // stride, width // stride
        valid = patches[:, top : top + rows * stride, left : left + columns * stride]

        windows = valid.unflatten(2, (columns, stride)).unflatten(1, (rows, stride)).permute(1, 3, 2, 4, 0)
        windows = windows.flatten(2, 3).flatten(0, 1)  # (windows, patches of a window, width)
        average = windows.mean(1, keepdim=True)
        merged = (average + plain_attention(self.stab.downsampling.attention, average, windows))[:, 0]

        query = fsra.class_embedding[None, None]
        context = (query + plain_attention(fsra.attention, query, merged[None]))[0]
        if video is not None:
            weight = fusion.balance.sigmoid()
            context = fusion.projection((1 - weight) * video + weight * context)
        row_ends = self.stab.row_tokens.token.expand(rows, 1, -1)
        return torch.cat([context, torch.cat([merged.unflatten(0, (rows, columns)), row_ends], dim=1).flatten(0, 1)])

"""Which records are longer than the language model takes, as far as it can be told before any of them is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int64

from components.encoders.video_encoder import TokenLayout, VideoShapes
from components.language_models.text import ChatText
from datamodules.records import Record, RecordTable
from datamodules.records.record import described
from datamodules.sample_sizes import ClipShapes, Shape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenLimits:
    """What decides whether a record is too long.

    Attributes:
        text: tokenizer and prompt.
        max_length: longest sequence that the language model takes, in tokens.
        max_new_tokens: longest answer that an evaluation generates.
        layout: says how many tokens the clips of a batch become.
    """

    text: ChatText
    max_length: int
    max_new_tokens: int
    layout: Callable[[VideoShapes], TokenLayout]


def find_long_records(
    records: RecordTable, shapes: ClipShapes, limits: TokenLimits, *, generated: bool, looked_at: int | None = None
) -> dict[str, str]:
    """Return how long, in words, each record is that is too long for certain, by its name.

    Only records that may be too long by the bytes of their texts are tokenised. Of a clip that no manifest knows it is
    certain that it becomes one token; how many records depend on what such clips are is logged.

    Args:
        records: of a split.
        shapes: tells the shapes of clips.
        limits: of the language model.
        generated: whether answers are generated too, which takes room for the longest one.
        looked_at: how many records are tokenised at most, those with the longest texts; all if None, which takes
            minutes for hundreds of thousands of long ones.
    """
    most = _visual_tokens(shapes.largest, shapes, limits)
    new_tokens = limits.max_new_tokens if generated else 0
    bounds = _most_text_tokens(records, limits.text) + new_tokens
    longest_first = np.argsort(-bounds, kind="stable")
    doubtful = longest_first[bounds[longest_first] + most > limits.max_length]
    long, open_ones = dict[str, str](), list[str]()
    for index in np.sort(doubtful[:looked_at]):
        record = records[int(index)]
        known = (0, 0, 0) if record.video is None else shapes.known(record.video)
        # Its clip alone may be too long and its text cannot be: there is no use in tokenising it.
        if known is None and bounds[index] < limits.max_length < most:
            open_ones.append(_name(record))
            continue
        text = _text_tokens(record, limits, generated=generated)
        clip = 0 if record.video is None else 1 if known is None else _visual_tokens(known, shapes, limits)
        if text + clip > limits.max_length:
            long[_name(record)] = _words(text, clip, limits, new_tokens)
        elif known is None and text + most > limits.max_length:
            open_ones.append(_name(record))
    if open_ones:
        log.warning(
            "%d of %d records, or more, may be longer than the %d tokens that the language model takes: it depends on "
            "their clips, which check-data looks at; its manifest (data.init_args.manifest) lets a run know at its "
            "start. First: %s",
            len(open_ones),
            len(records),
            limits.max_length,
            open_ones[0],
        )
    return long


def _name(record: Record) -> str:
    return described(record.id, str(record.video or ""), record.where)


def _words(text: int, clip: int, limits: TokenLimits, new_tokens: int) -> str:
    room = f" and the {new_tokens} that its answer may have" if new_tokens else ""
    return (
        f"at least {text + clip} tokens long with its visual tokens{room} ({text} without the former), but the "
        f"language model takes {limits.max_length}"
    )


def _text_tokens(record: Record, limits: TokenLimits, *, generated: bool) -> int:
    """Return how many tokens a record has without those of its clip."""
    turns, with_clip = [(turn.question, turn.answer) for turn in record.turns], record.video is not None
    placeholder = int(with_clip)
    tokens = len(limits.text.encode(turns, with_clip=with_clip).input_ids)
    if generated:
        question = limits.text.encode_question(turns[:-1], turns[-1][0], with_clip=with_clip)
        tokens = max(tokens, len(question) + limits.max_new_tokens)
    return tokens - placeholder


def _most_text_tokens(records: RecordTable, text: ChatText) -> Int64[np.ndarray, "records"]:
    """Return a bound on the tokens of the texts of each record: no token of a text has less than a byte."""
    one, two = (len(text.encode([("?", "!")] * turns).input_ids) for turns in (1, 2))
    most: Int64[np.ndarray, "records"] = records.text_bytes() + one + (records.turn_counts() - 1) * (two - one)
    return most


def _visual_tokens(shape: Shape, shapes: ClipShapes, limits: TokenLimits) -> int:
    """Return how many tokens a clip becomes; some number above the limit for one with as many frames."""
    frames, rows, columns = shape
    return _tokens(min(frames, limits.max_length + 1), rows, columns, shapes.canvas, limits)


@lru_cache(maxsize=4096)
def _tokens(frames: int, rows: int, columns: int, canvas: tuple[int, int], limits: TokenLimits) -> int:
    rectangles = torch.tensor([0, 0, rows, columns]).expand(frames, 4)
    return sum(limits.layout(VideoShapes(torch.tensor([frames]), rectangles, canvas)).token_counts)

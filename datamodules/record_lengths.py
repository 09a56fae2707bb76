"""Finds records that are too long for the language model before any of them is loaded."""

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
    """The limits of the model on the length of a record.

    Attributes:
        text: tokenizer and prompt.
        max_length: longest sequence that the language model takes, in tokens.
        max_new_tokens: longest answer that an evaluation generates, in tokens.
        layout: function that returns the token layout of clips with given shapes.
    """

    text: ChatText
    max_length: int
    max_new_tokens: int
    layout: Callable[[VideoShapes], TokenLayout]


def find_long_records(
    records: RecordTable, shapes: ClipShapes, limits: TokenLimits, *, generated: bool, looked_at: int | None = None
) -> dict[str, str]:
    """Return a description of the length of each record that is certainly too long, by the name of the record.

    Only records that may be too long by the size of their texts are tokenised. A clip that is not in a manifest counts
    as one token here; the log says how many records may be too long because of such clips.

    Args:
        records: records of a split.
        shapes: shapes of the clips.
        limits: limits of the language model.
        generated: whether answers are generated, which requires room for the longest answer.
        looked_at: maximum number of records to tokenise, those with the longest texts; None tokenises all, which takes
            minutes for hundreds of thousands of long records.
    """
    most = _visual_tokens(shapes.largest, shapes, limits)
    new_tokens = limits.max_new_tokens if generated else 0
    bounds = _max_text_tokens(records, limits.text) + new_tokens
    longest_first = np.argsort(-bounds, kind="stable")
    doubtful = longest_first[bounds[longest_first] + most > limits.max_length]
    long, uncertain = dict[str, str](), list[str]()
    for index in np.sort(doubtful[:looked_at]):
        record = records[int(index)]
        shape = (0, 0, 0) if record.video is None else shapes.in_manifest(record.video)
        # Only the clip can be too long, not the text: tokenising would not decide anything.
        if shape is None and bounds[index] < limits.max_length < most:
            uncertain.append(_name(record))
            continue
        text = _text_tokens(record, limits, generated=generated)
        clip = 0 if record.video is None else 1 if shape is None else _visual_tokens(shape, shapes, limits)
        if text + clip > limits.max_length:
            long[_name(record)] = _length_description(text, clip, limits, new_tokens)
        elif shape is None and text + most > limits.max_length:
            uncertain.append(_name(record))
    if uncertain:
        log.warning(
            "%d of %d records, or more, may be longer than the %d tokens that the language model takes: it depends on "
            "their clips, which check-data looks at; its manifest (data.init_args.manifest) lets a run know at its "
            "start. First: %s",
            len(uncertain),
            len(records),
            limits.max_length,
            uncertain[0],
        )
    return long


def _name(record: Record) -> str:
    return described(record.id, str(record.video or ""), record.where)


def _length_description(text: int, clip: int, limits: TokenLimits, new_tokens: int) -> str:
    room = f" and the {new_tokens} that its answer may have" if new_tokens else ""
    return (
        f"at least {text + clip} tokens long with its visual tokens{room} ({text} without the former), but the "
        f"language model takes {limits.max_length}"
    )


def _text_tokens(record: Record, limits: TokenLimits, *, generated: bool) -> int:
    """Return the number of tokens of a record without those of its clip."""
    turns, with_clip = [(turn.question, turn.answer) for turn in record.turns], record.video is not None
    placeholder = int(with_clip)
    tokens = len(limits.text.encode(turns, with_clip=with_clip).input_ids)
    if generated:
        question = limits.text.encode_question(turns[:-1], turns[-1][0], with_clip=with_clip)
        tokens = max(tokens, len(question) + limits.max_new_tokens)
    return tokens - placeholder


def _max_text_tokens(records: RecordTable, text: ChatText) -> Int64[np.ndarray, "records"]:
    """Return an upper bound on the text tokens of each record: every token of a text has at least one byte."""
    one, two = (len(text.encode([("?", "!")] * turns).input_ids) for turns in (1, 2))
    most: Int64[np.ndarray, "records"] = records.text_bytes() + one + (records.turn_counts() - 1) * (two - one)
    return most


def _visual_tokens(shape: Shape, shapes: ClipShapes, limits: TokenLimits) -> int:
    """Return the number of tokens of a clip; for very many frames, some number above the limit."""
    frames, rows, columns = shape
    return _tokens(min(frames, limits.max_length + 1), rows, columns, shapes.canvas, limits)


@lru_cache(maxsize=4096)
def _tokens(frames: int, rows: int, columns: int, canvas: tuple[int, int], limits: TokenLimits) -> int:
    rectangles = torch.tensor([0, 0, rows, columns]).expand(frames, 4)
    return sum(limits.layout(VideoShapes(torch.tensor([frames]), rectangles, canvas)).token_counts)

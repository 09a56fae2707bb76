"""Inserts visual tokens into text.

The text has one placeholder per clip, and visual tokens are packed. All index arithmetic is done once per batch on the
host (`plan_splice`), where the token counts are known before frames are encoded; the device then does a single indexed
copy (`splice`), without loops and without reading values back.

Legend: B samples, L length of the longest spliced sample, N visual tokens of the batch, C width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from components.transfer import to_device

PLACEHOLDER = -200  # official value; it can never be a token id
IGNORED_LABEL = -100  # ignored by the cross-entropy


class TooLongError(ValueError):
    """Samples have more tokens than the language model takes.

    Attributes:
        samples: description of the length of each such sample, by its position in the batch.
    """

    def __init__(self, samples: dict[int, str]) -> None:
        place, first = next(iter(samples.items()))
        super().__init__(f"sample {place} of the batch is {first}")
        self.samples = samples


class PaddingSide(Enum):
    """The side on which short samples are padded: `RIGHT` to train, `LEFT` to generate, so that new tokens align."""

    LEFT = "left"
    RIGHT = "right"


@dataclass
class SplicePlan:
    """A batch of spliced samples, padded to one length.

    Attributes:
        input_ids: text token ids; visual and padding positions hold `pad_id`, so that they can be embedded.
        labels: target ids; -100 for positions without loss, which include visual and padding positions.
        attention_mask: 1 for tokens, 0 for padding.
        position_ids: 0, 1, ... from the first token of each sample on; 0 for padding.
        visual_positions: index of every visual token in the flattened batch (B * L), in batch order.
        scored_columns: columns whose prediction is scored in at least one sample; only these need logits.
        padding_side: side of the padding.
    """

    input_ids: Int64[Tensor, "batch length"]
    labels: Int64[Tensor, "batch length"]
    attention_mask: Int64[Tensor, "batch length"]
    position_ids: Int64[Tensor, "batch length"]
    visual_positions: Int64[Tensor, " visual"]
    scored_columns: Int64[Tensor, " scored"]
    padding_side: PaddingSide

    def to(self, device: torch.device | str) -> SplicePlan:
        """Return the same plan with its tensors on `device`, copied without waiting for them."""
        return to_device(self, device)


def plan_splice(
    input_ids: Sequence[Int64[Tensor, " _"]],
    token_counts: Sequence[int],
    labels: Sequence[Int64[Tensor, " _"]] | None,
    *,
    padding_side: PaddingSide,
    pad_id: int,
    max_length: int,
    new_tokens: int = 0,
) -> SplicePlan:
    """Compute the positions of a batch in which every placeholder is replaced by its visual tokens.

    It does the same as the official `prepare_inputs_labels_for_multimodal`, which however truncates samples that are
    too long, and pads with zeros instead of the embedding of `pad_id` (masked in both).

    Args:
        input_ids: token ids of each sample, with any number of placeholders.
        token_counts: number of visual tokens of each placeholder, over all samples in batch order.
        labels: target ids of each sample, with the same lengths as `input_ids`; None for generation.
        padding_side: side on which shorter samples are padded.
        pad_id: token id for padding and visual positions; any id that can be embedded.
        max_length: longest spliced sample that the language model takes, in tokens.
        new_tokens: number of tokens to keep free for an answer.

    Raises:
        TooLongError: a spliced sample is too long.
        ValueError: the number of placeholders is not the number of token counts.
    """
    ids = torch.cat(list(input_ids))
    wanted = torch.cat(list(labels)) if labels is not None else torch.full_like(ids, IGNORED_LABEL)
    text_lengths = torch.tensor([len(sample) for sample in input_ids])
    samples = torch.arange(len(input_ids)).repeat_interleave(text_lengths)

    is_placeholder = ids == PLACEHOLDER
    placeholders = int(is_placeholder.sum())
    if placeholders != len(token_counts):
        raise ValueError(
            f"the text of the batch has {placeholders} placeholders, but there are visual tokens for "
            f"{len(token_counts)} clips; every clip needs exactly one placeholder"
        )

    copies = torch.ones_like(ids)
    copies[is_placeholder] = torch.tensor(token_counts, dtype=torch.int64)
    lengths = torch.zeros_like(text_lengths).index_add(0, samples, copies)
    _check_lengths(lengths, text_lengths, max_length, new_tokens)

    # From here on, tensors have one entry per token of the spliced batch.
    ids, wanted, samples, is_visual = (t.repeat_interleave(copies) for t in (ids, wanted, samples, is_placeholder))
    offsets = torch.arange(len(ids)) - (lengths.cumsum(0) - lengths)[samples]
    shape = (len(input_ids), int(lengths.max()))
    padding_before = shape[1] - lengths if padding_side is PaddingSide.LEFT else torch.zeros_like(lengths)
    places = samples * shape[1] + padding_before[samples] + offsets

    def scatter(values: Tensor, fill: int) -> Tensor:
        return torch.full(shape, fill).flatten().index_copy(0, places, values).view(shape)

    spliced_labels = scatter(wanted.masked_fill(is_visual, IGNORED_LABEL), IGNORED_LABEL)
    return SplicePlan(
        input_ids=scatter(ids.masked_fill(is_visual, pad_id), pad_id),
        labels=spliced_labels,
        attention_mask=scatter(torch.ones_like(ids), 0),
        position_ids=scatter(offsets, 0),
        visual_positions=places[is_visual],
        # A column predicts the next one.
        scored_columns=(spliced_labels[:, 1:] != IGNORED_LABEL).any(dim=0).nonzero().flatten(),
        padding_side=padding_side,
    )


def _check_lengths(lengths: Tensor, text_lengths: Tensor, max_length: int, new_tokens: int) -> None:
    if int(lengths.max()) + new_tokens > max_length:
        room = f", and its answer may have {new_tokens} more" if new_tokens else ""
        raise TooLongError(
            {
                place: f"{int(lengths[place])} tokens long with its visual tokens ({int(text_lengths[place])} before "
                f"they were put in){room}, but the language model takes {max_length}"
                for place in (lengths + new_tokens > max_length).nonzero().flatten().tolist()
            }
        )


def splice(
    embeddings: Float[Tensor, "batch length width"], visual_tokens: Float[Tensor, "visual width"], plan: SplicePlan
) -> Float[Tensor, "batch length width"]:
    """Insert visual tokens into the embeddings of `plan.input_ids` by one indexed copy.

    It is differentiable in both; visual tokens are cast to the dtype of the text embeddings.
    """
    flat = embeddings.flatten(0, 1)
    return flat.index_copy(0, plan.visual_positions, visual_tokens.to(flat.dtype)).view_as(embeddings)

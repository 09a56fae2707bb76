"""Turns conversations into token ids and labels, and generated ids back into text.

Special tokens are never parsed from text: text between them is tokenised, and they are inserted as ids. So a question
that contains "</s>" cannot end an answer. Labels follow from the characters of the answer, not from counting tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from components.language_models.prompt import Clip, Piece, PromptFormat, Special, Text
from components.splice import IGNORED_LABEL, PLACEHOLDER


@dataclass(frozen=True)
class EncodedText:
    """A tokenised conversation.

    Attributes:
        input_ids: token ids, with one `PLACEHOLDER` for the clip.
        labels: the ids of each answer and of the token that ends it; -100 elsewhere.
    """

    input_ids: Int64[Tensor, " text"]
    labels: Int64[Tensor, " text"]


class ChatText:
    """A tokenizer together with a prompt format.

    Ids and labels are those of the official templates `v1` and `videopanda_v1`, but with one placeholder per clip
    instead of one per frame, and without parsing special tokens in texts of users. Text after a placeholder or a
    special token is tokenised like the start of a text: "</s>USER" gives "▁USER", as in the legacy mode of Llama.

    Attributes:
        tokenizer: tokenizer that reports the characters of each token ("fast" in transformers).
        prompt: format of conversations.
        end_id: id of the token that ends an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: PromptFormat) -> None:
        """Check that tokenizer and format fit.

        Raises:
            ValueError: the tokenizer lacks a token that the format needs, or does not report the characters of each
                token.
        """
        if not tokenizer.is_fast:
            raise ValueError(
                f"{type(tokenizer).__name__} does not tell which characters a token covers; a folder with a "
                "tokenizer.json is needed (model.language_model.init_args.name_or_path)"
            )
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.end_id = prompt.end_id(tokenizer)

    @property
    def pad_id(self) -> int:
        """Id for padding, which is masked: that of the end token, since many tokenizers have no padding token."""
        return self.end_id

    def encode(self, turns: Sequence[tuple[str, str]], *, with_clip: bool = True) -> EncodedText:
        """Tokenise a whole conversation, for training.

        Args:
            turns: pairs of question and answer.
            with_clip: whether the conversation is about a clip.
        """
        return self._tokenize(self.prompt.pieces(self.tokenizer, turns, with_clip=with_clip))

    def encode_question(
        self, turns_before: Sequence[tuple[str, str]], question: str, *, with_clip: bool = True
    ) -> Int64[Tensor, " text"]:
        """Tokenise earlier turns and a question, up to where the answer is to be generated."""
        turns = [*turns_before, (question, None)]
        return self._tokenize(self.prompt.pieces(self.tokenizer, turns, with_clip=with_clip)).input_ids

    def decode(self, ids: Int64[Tensor, " text"]) -> str:
        """Return generated ids as text, without special tokens and surrounding space."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _tokenize(self, pieces: Sequence[Piece]) -> EncodedText:
        sequence = _with_runs(pieces)
        texts = ["".join(piece.text for piece in run) for run in sequence if isinstance(run, list)]
        # All runs in one call, since a call of a tokenizer takes most of its time.
        tokenized = self.tokenizer(
            texts, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )
        encoded = iter(zip(tokenized.input_ids, tokenized.offset_mapping, strict=True))
        ids: list[int] = []
        labels: list[int] = []
        for item in sequence:
            if isinstance(item, Clip):
                ids.append(PLACEHOLDER)
                labels.append(IGNORED_LABEL)
            elif isinstance(item, Special):
                ids.append(item.id)
                labels.append(item.id if item.learnt else IGNORED_LABEL)
            else:
                tokens, offsets = next(encoded)
                spans = _learnt_spans(item)
                ids += tokens
                labels += [
                    token if any(begin < stop and start < end for start, stop in spans) else IGNORED_LABEL
                    for token, (begin, end) in zip(tokens, offsets, strict=True)
                ]
        return EncodedText(torch.tensor(ids, dtype=torch.int64), torch.tensor(labels, dtype=torch.int64))


def _with_runs(pieces: Sequence[Piece]) -> list[list[Text] | Special | Clip]:
    """Join neighbouring texts into runs, which must be tokenised as a whole."""
    sequence: list[list[Text] | Special | Clip] = []
    for piece in pieces:
        if not isinstance(piece, Text):
            sequence.append(piece)
        elif sequence and isinstance(sequence[-1], list):
            sequence[-1].append(piece)
        else:
            sequence.append([piece])
    return sequence


def _learnt_spans(run: Sequence[Text]) -> list[tuple[int, int]]:
    """Return the (start, end) of each learnt text, in characters of the whole run."""
    spans, start = [], 0
    for piece in run:
        if piece.learnt:
            spans.append((start, start + len(piece.text)))
        start += len(piece.text)
    return spans

"""Conversations to token ids and labels, and generated ids back to text.

Special tokens are never read from text: text is tokenised between them and they are put in as ids. So a question that
contains "</s>" cannot end an answer, and what is learnt follows from knowing which characters are the answer, not from
counting tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from components.language_models.prompt import PromptFormat
from components.splice import IGNORED_LABEL, PLACEHOLDER


@dataclass(frozen=True)
class EncodedText:
    """A tokenised conversation.

    Attributes:
        input_ids: token ids, with one `PLACEHOLDER` for the clip.
        labels: the ids of each answer and its end-of-sequence token; -100 elsewhere.
    """

    input_ids: Int64[Tensor, " text"]
    labels: Int64[Tensor, " text"]


class ChatText:
    """A tokenizer together with a prompt format.

    Official behaviour matched: ids and labels of the templates `v1` and `videopanda_v1`, with one placeholder per clip
    instead of one per frame, and without looking for special tokens in what users wrote. Text after a placeholder or an
    end token is tokenised like the start of a text: "</s>USER" gives "▁USER", as in the legacy mode of Llama.

    Attributes:
        tokenizer: a tokenizer that knows which characters each token covers ("fast" in transformers).
        prompt: the format of conversations.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: PromptFormat) -> None:
        """Join the two.

        Raises:
            ValueError: the tokenizer has no end-of-sequence token, or does not tell which characters a token covers.
        """
        if not tokenizer.is_fast:
            raise ValueError(
                f"{type(tokenizer).__name__} does not tell which characters a token covers; a folder with a "
                "tokenizer.json is needed (model.language_model.init_args.name_or_path)"
            )
        if tokenizer.eos_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no end-of-sequence token, so answers could not end; set eos_token in "
                "its tokenizer_config.json (model.language_model.init_args.name_or_path)"
            )
        self.tokenizer = tokenizer
        self.prompt = prompt

    @property
    def end_id(self) -> int:
        """Id of the token that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """Id for padding: the end token, since the mask says what padding is and many tokenizers have no id for it."""
        return self.end_id

    def encode(self, turns: Sequence[tuple[str, str]], *, with_clip: bool = True) -> EncodedText:
        """Tokenise a whole conversation, for training.

        Args:
            turns: pairs of question and answer.
            with_clip: whether the clip is shown, before the first question; without it the text is all there is.
        """
        ids, labels = self._start(with_clip)
        asked = [self._question(question, number, with_clip) for number, (question, _) in enumerate(turns)]
        # All turns in one call: most of a tokenizer's time is spent on entering it.
        tokenized = self._tokenize([f"{cue} {answer}" for cue, (_, answer) in zip(asked, turns, strict=True)])
        for cue, tokens, offsets in zip(asked, tokenized.input_ids, tokenized.offset_mapping, strict=True):
            ids += [*tokens, self.end_id]
            # A token that holds the space before an answer often holds its first letters too, so the space counts.
            labels += [
                token if end > len(cue) else IGNORED_LABEL for token, (_, end) in zip(tokens, offsets, strict=True)
            ]
            labels.append(self.end_id)
        return EncodedText(torch.tensor(ids, dtype=torch.int64), torch.tensor(labels, dtype=torch.int64))

    def encode_question(
        self, turns_before: Sequence[tuple[str, str]], question: str, *, with_clip: bool = True
    ) -> Int64[Tensor, " text"]:
        """Tokenise a question after the turns before it, ready for the answer to be generated."""
        if turns_before:
            start = self.encode(turns_before, with_clip=with_clip).input_ids.tolist()
        else:
            start, _ = self._start(with_clip)
        asked = self._tokenize(self._question(question, len(turns_before), with_clip)).input_ids
        return torch.tensor(start + asked, dtype=torch.int64)

    def decode(self, ids: Int64[Tensor, " text"]) -> str:
        """Return generated ids as text, without special tokens and without space around it."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _start(self, with_clip: bool) -> tuple[list[int], list[int]]:
        ids = [] if self.tokenizer.bos_token_id is None else [int(self.tokenizer.bos_token_id)]
        if with_clip:
            ids += [*self._tokenize(self.prompt.opening).input_ids, PLACEHOLDER]
        return ids, [IGNORED_LABEL] * len(ids)

    def _question(self, question: str, number: int, with_clip: bool) -> str:
        first = "\n" if with_clip else self.prompt.opening
        return f"{first if number == 0 else self.prompt.next_turn}{question}{self.prompt.answer_cue}"

    def _tokenize(self, text: str | list[str]) -> BatchEncoding:
        encoded: BatchEncoding = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )
        return encoded

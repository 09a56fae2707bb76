"""The formats in which a conversation about a clip is written before it is tokenised.

A model answers well only in the format it was trained with, including the system text, so the format is an exchangeable
part. It turns a conversation into a sequence of pieces: ordinary text, special tokens and the position of the clip. So
text is never searched for special tokens, and the characters that are learnt are known exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Text:
    """Ordinary text, in which special tokens are not recognised; `learnt` says whether it is a training target."""

    text: str
    learnt: bool = False


@dataclass(frozen=True)
class Special:
    """One special token, by its id; `learnt` says whether it is a training target."""

    id: int
    learnt: bool = False


@dataclass(frozen=True)
class Clip:
    """The position of the clip."""


Piece = Text | Special | Clip


class PromptFormat(ABC):
    """The format of conversations: the slot `prompt` of a language model."""

    @abstractmethod
    def pieces(
        self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str | None]], *, with_clip: bool
    ) -> list[Piece]:
        """Return the pieces of a conversation; answers and their end tokens are learnt.

        Args:
            tokenizer: tokenizer, which has the ids of special tokens.
            turns: pairs of question and answer, at least one. If the last answer is None, it is to be generated, and
                the pieces end where it begins.
            with_clip: whether the conversation is about a clip.

        Raises:
            ValueError: the tokenizer lacks a special token that the format needs.
        """

    @abstractmethod
    def end_id(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Return the id of the token that ends an answer.

        Raises:
            ValueError: the tokenizer has no such token.
        """


class FixedFormat(PromptFormat):
    """The format: opening, clip, newline, question, cue, answer, end; then next turn, question, cue, ...

    Attributes:
        opening: text before the clip, after the beginning-of-sequence token if the tokenizer has one.
        next_turn: text before every question but the first.
        answer_cue: text after every question; a generated answer follows it.
    """

    def __init__(self, opening: str, next_turn: str, answer_cue: str) -> None:
        """Set the fixed texts.

        Args:
            opening: text before the clip.
            next_turn: text before every question but the first.
            answer_cue: text after every question; a space and the answer follow it.
        """
        self.opening = opening
        self.next_turn = next_turn
        self.answer_cue = answer_cue

    def pieces(
        self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str | None]], *, with_clip: bool
    ) -> list[Piece]:
        """Return the pieces of a conversation with the fixed texts."""
        pieces: list[Piece] = [] if tokenizer.bos_token_id is None else [Special(int(tokenizer.bos_token_id))]
        if with_clip:
            pieces += [Text(self.opening), Clip()]
        first = "\n" if with_clip else self.opening
        for number, (question, answer) in enumerate(turns):
            pieces.append(Text(f"{first if number == 0 else self.next_turn}{question}{self.answer_cue}"))
            if answer is not None:
                # The space is learnt too, since it is often in one token with the first letters of the answer.
                pieces += [Text(f" {answer}", learnt=True), Special(self.end_id(tokenizer), learnt=True)]
        return pieces

    def end_id(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Return the id of the tokenizer's end-of-sequence token."""
        if tokenizer.eos_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no end-of-sequence token, so answers could not end; set eos_token in "
                "its tokenizer_config.json (model.language_model.init_args.name_or_path)"
            )
        return int(tokenizer.eos_token_id)


class VicunaV1(FixedFormat):
    """The format of Vicuna 1.5, with which the official code trains all three stages (its template `v1`)."""

    # Not a default value of the argument, which the parser would keep when another format is chosen.
    own_system = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )

    def __init__(self, system: str | None = None) -> None:
        """Set the system text.

        Args:
            system: system text at the start of every conversation; null uses that of the format.
        """
        opening = f"{self.own_system if system is None else system} USER: "
        super().__init__(opening, next_turn="USER: ", answer_cue=" ASSISTANT:")


class VideoPandaV1(VicunaV1):
    """The format of the official evaluation (its template `videopanda_v1`): "human" instead of "user"."""

    own_system = (
        "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions."
    )


VIDEO_CHATGPT_TOKENS = ("<vid_patch>", "<vid_start>", "<vid_end>")  # in the order of their ids


class VideoChatGPTV1(VicunaV1):
    """The format of Video-ChatGPT: the clip follows the first question, between two special tokens."""

    own_system = (
        "You are Video-ChatGPT, a large vision-language assistant. You are able to understand the video content that "
        "the user provides, and assist the user with a variety of tasks using natural language."
        "Follow the instructions carefully and explain your answers in detail based on the provided video."
    )

    def pieces(
        self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str | None]], *, with_clip: bool
    ) -> list[Piece]:
        """Return the pieces of a conversation; without a clip, those of Vicuna's format."""
        pieces = super().pieces(tokenizer, turns, with_clip=False)
        if not with_clip:
            return pieces
        start, end = (_token_id(tokenizer, token) for token in VIDEO_CHATGPT_TOKENS[1:])
        first = next(number for number, piece in enumerate(pieces) if isinstance(piece, Text))
        question = f"{self.opening}{turns[0][0]}\n"
        clip: list[Piece] = [Text(question), Special(start), Clip(), Special(end), Text(self.answer_cue)]
        return [*pieces[:first], *clip, *pieces[first + 1 :]]


def _token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    ids = tokenizer.get_vocab()
    if token not in ids:
        raise ValueError(
            f"the tokenizer has no {token}, which the prompt VideoChatGPTV1 puts beside a clip; import-video-chatgpt "
            "makes one that has it (model.language_model.init_args.name_or_path)"
        )
    return int(ids[token])


class ShortPrompt(FixedFormat):
    """A format with as few tokens as possible, for small models: `<clip>`, newline, question, "answer:", answer."""

    def __init__(self) -> None:
        super().__init__(opening="", next_turn="", answer_cue=" answer:")

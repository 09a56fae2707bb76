"""How a conversation about a clip is written down as text, before any tokenizer sees it.

A model answers well only in the format it was trained with, and the system text is part of it, so the format is a part
that can be swapped. It is text alone: the clip and the end of an answer are tokens, put in by `ChatText`.
"""

from __future__ import annotations


class PromptFormat:
    """A conversation as: opening, clip, newline, question, cue, answer, end; then next turn, question, cue, ...

    Attributes:
        opening: text before the clip.
        next_turn: text before every question but the first.
        answer_cue: text after every question; a generated answer follows it.
    """

    def __init__(self, opening: str, next_turn: str, answer_cue: str) -> None:
        """Describe a format by its fixed texts.

        Args:
            opening: text before the clip.
            next_turn: text before every question but the first.
            answer_cue: text after every question; a space and the answer follow it.
        """
        self.opening = opening
        self.next_turn = next_turn
        self.answer_cue = answer_cue


class VicunaV1(PromptFormat):
    """The format of Vicuna 1.5, with which the official code trains all three stages (its template `v1`)."""

    def __init__(
        self,
        system: str = "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    ) -> None:
        """Choose the system text.

        Args:
            system: text that opens every conversation.
        """
        super().__init__(opening=f"{system} USER: ", next_turn="USER: ", answer_cue=" ASSISTANT:")


class VideoPandaV1(VicunaV1):
    """The format with which the official code evaluates (its template `videopanda_v1`): "human" instead of "user"."""

    def __init__(
        self,
        system: str = "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions.",
    ) -> None:
        """Choose the system text.

        Args:
            system: text that opens every conversation.
        """
        super().__init__(system)


class ShortPrompt(PromptFormat):
    """As few tokens as possible, for small models: `<clip>`, newline, question, "answer:", answer."""

    def __init__(self) -> None:
        super().__init__(opening="", next_turn="", answer_cue=" answer:")

"""The chat template of a tokenizer as a prompt format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from components.language_models.prompt import Clip, Piece, PromptFormat, Special, Text

KEY = "model.language_model.init_args.prompt"
# Private-use characters, which no template writes. Questions and answers themselves never pass through the template.
MARK = "\ue000{}\ue001"
MARKS = re.compile("\ue000([0-9]+)\ue001")


class ChatTemplate(PromptFormat):
    """The format with which the language model was tuned, from its tokenizer (`chat_template`).

    The template is rendered with marks in place of questions and answers, so the characters of the answers are known
    exactly. Questions and answers are then inserted unchanged, and special tokens in them are ordinary text. An answer
    ends with the first special token that the template writes after it. The clip and a newline are placed before the
    first question.
    """

    def __init__(self, system: str | None = None, variables: dict[str, str | bool] | None = None) -> None:
        """Set the variables of the template.

        Args:
            system: text of the system message; null uses that of the template, if it has one.
            variables: further variables of the template, such as `{enable_thinking: false}` for Qwen 3, or
                `{date_string: 26 Jul 2024}` for Llama 3.1, which otherwise writes the day of the run.
        """
        self.system = system
        self.variables: dict[str, Any] = dict(variables or {})

    def pieces(
        self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str | None]], *, with_clip: bool
    ) -> list[Piece]:
        """Return the pieces of a conversation with the texts of the template.

        Raises:
            ValueError: the tokenizer has no template, or the template does not write every message once and in order,
                begins an answer differently in training and generation, or writes no special token after an answer.
        """
        for_generation = self._fixed_texts(tokenizer, len(turns), answered=False)
        answered = turns[-1][1] is not None
        fixed = self._fixed_texts(tokenizer, len(turns), answered=True) if answered else for_generation
        pieces: list[Piece] = []
        if self.system is not None:
            before, *fixed = fixed
            pieces += [*_split(tokenizer, before), Text(self.system)]
        pieces += _split(tokenizer, fixed[0])
        for number, (question, answer) in enumerate(turns):
            pieces += [Clip(), Text(f"\n{question}")] if with_clip and number == 0 else [Text(question)]
            cue, last_cue = fixed[2 * number + 1], for_generation[-1]
            # Some templates write a space before an answer only if there is an answer: then it is part of the answer.
            prompt = last_cue if cue.startswith(last_cue) and not cue[len(last_cue) :].strip() else cue
            if number == len(turns) - 1 and prompt != last_cue:
                raise ValueError(
                    f"the chat template writes {cue!r} before an answer, but {last_cue!r} to ask for one, so what is "
                    f"learnt would not be what is asked; a variable of the template may change that ({KEY}.variables), "
                    "as `enable_thinking: false` does for some"
                )
            pieces += _split(tokenizer, prompt)
            if answer is not None:
                ending, after = self._ending(tokenizer, fixed[2 * number + 2])
                pieces += [Text(f"{cue[len(prompt) :]}{answer}", learnt=True), *ending]
                pieces += after if number < len(turns) - 1 else []
        return pieces

    def end_id(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Return the id of the special token that the template writes after an answer."""
        last = self.pieces(tokenizer, [("", "")], with_clip=False)[-1]
        assert isinstance(last, Special)
        return last.id

    def _fixed_texts(self, tokenizer: PreTrainedTokenizerBase, turns: int, answered: bool) -> list[str]:
        """Return the texts of the template before, between and after system text, questions and answers."""
        if tokenizer.chat_template is None:
            raise ValueError(
                f"{KEY} is ChatTemplate, but {type(tokenizer).__name__} of {tokenizer.name_or_path!r} has no chat "
                "template: choose another format, such as VicunaV1, or put a chat_template.jinja beside its files"
            )
        roles = ["system"] * (self.system is not None) + ["user", "assistant"] * turns
        roles = roles if answered else roles[:-1]
        messages = [{"role": role, "content": MARK.format(number)} for number, role in enumerate(roles)]
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not answered, **self.variables
            )
        except TemplateError as error:
            raise ValueError(f"{KEY}: the chat template refuses the roles {', '.join(roles)}: {error}") from error
        *parts, end = MARKS.split(str(text))
        if parts[1::2] != [str(number) for number in range(len(roles))]:
            raise ValueError(
                f"{KEY}: the chat template does not write each of the messages {', '.join(roles)} once and in order, "
                "so it cannot be told what is answer"
            )
        return [*parts[::2], end]

    @staticmethod
    def _ending(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[Piece], list[Piece]]:
        """Split the text after an answer: up to its first special token, which is learnt, and the rest."""
        pieces = _split(tokenizer, text)
        for number, piece in enumerate(pieces):
            if isinstance(piece, Special):
                before = [Text(p.text, learnt=True) for p in pieces[:number] if isinstance(p, Text)]
                return [*before, Special(piece.id, learnt=True)], pieces[number + 1 :]
        raise ValueError(f"{KEY}: the chat template writes no special token after an answer, so it could not end")


def _split(tokenizer: PreTrainedTokenizerBase, text: str) -> list[Piece]:
    """Split text of a template into special tokens and ordinary text, as the tokenizer itself would."""
    special = {str(token): (number, token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    longest_first = sorted(map(re.escape, special), key=len, reverse=True)
    pieces: list[Piece] = []
    # Every second part is a special token; some absorb the space beside them.
    parts = re.split(f"({'|'.join(longest_first)})", text) if special else [text]
    for number, part in enumerate(parts):
        if number % 2:
            pieces.append(Special(special[part][0]))
            continue
        if number > 0 and special[parts[number - 1]][1].rstrip:
            part = part.lstrip()
        if number + 1 < len(parts) and special[parts[number + 1]][1].lstrip:
            part = part.rstrip()
        if part:
            pieces.append(Text(part))
    return pieces

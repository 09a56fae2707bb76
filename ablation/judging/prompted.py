"""Judges that are language models: their prompts, the parsing of their replies, and their common base class."""

from __future__ import annotations

import ast
import json
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablation.judging.judge import BEST_SCORE, Comparison, Judge, Judgement
from datamodules.answer_kind import Aspect

FOLDER = Path(__file__).with_name("prompts")
NEEDED = ("question", "reference", "prediction")
PLACES = (*NEEDED, "second_question", "second_prediction")
_PLACE = re.compile(rf"\{{({'|'.join(PLACES)})\}}")
_DIVISION = re.compile(r"^---[ \t]*$\n?", re.MULTILINE)
LONGEST = 4000  # characters of a reply that is parsed; a valid one is much shorter
_FENCED = re.compile(r"```(?:json|python)?\s*\n?(.*?)\n?\s*```", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A reply of a model.

    Attributes:
        text: text of the reply.
        answered_by: name of the model according to the server.
    """

    text: str
    answered_by: str | None = None


@dataclass(frozen=True)
class NoReply:
    """The reason for a missing reply."""

    reason: str


class PromptedJudge(Judge):
    """A judge that prompts a model, again if a reply cannot be read.

    Attributes:
        prompt: texts of the prompts.
        asks: maximum number of times that a comparison is asked.
    """

    def __init__(self, prompt: JudgePrompt, asks: int) -> None:
        """Set the prompt and the maximum number of times that a comparison is asked.

        Raises:
            ValueError: `asks` is not positive.
        """
        if asks < 1:
            raise ValueError(f"judge.init_args.asks is {asks}; it must be at least 1")
        self.prompt = prompt
        self.asks = asks

    @abstractmethod
    def replies(self, messages: Sequence[Messages]) -> list[Reply | NoReply]:
        """Return the model's reply to each conversation."""

    def prompt_length(self, comparison: Comparison) -> int:
        """Return the length of the prompt in characters."""
        messages = self.prompt.messages(comparison)
        return len(messages.system) + len(messages.user)

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Judge the comparisons; those without a readable reply in the end are unjudged, with the last reply."""
        judgements = [Judgement(unjudged="not asked")] * len(comparisons)
        waiting = list(range(len(comparisons)))
        for ask in range(1, self.asks + 1):
            replies = self.replies([self.prompt.messages(comparisons[index]) for index in waiting])
            for index, reply in zip(tuple(waiting), replies, strict=True):
                if isinstance(reply, NoReply):
                    # An unreadable reply is kept, even if the server fails afterwards.
                    if judgements[index].reply is None:
                        judgements[index] = Judgement(unjudged=reply.reason)
                    waiting.remove(index)
                    continue
                try:
                    judgement = read_reply(reply.text, comparisons[index].aspect)
                    waiting.remove(index)
                except ReplyError as error:
                    judgement = Judgement(reply=reply.text, unjudged=f"{error} (asked {ask} times)")
                judgements[index] = replace(judgement, answered_by=reply.answered_by)
            if not waiting:
                break
        return judgements


@dataclass(frozen=True)
class Messages:
    """A conversation: the system message, which may be empty, and the user message."""

    system: str
    user: str


class JudgePrompt:
    """Prompt texts: those of this package, one for right or wrong and one per aspect, or a file's text for all.

    A line `---` separates the system message from the user message; without it, the text is the user message.
    """

    def __init__(self, file: str | None = None) -> None:
        """Read the texts.

        Raises:
            ValueError: the file cannot be read, lacks a placeholder or has an unknown one.
        """
        names: list[Aspect | None] = [None, *Aspect]
        self._texts = {
            aspect: _read(Path(file) if file else FOLDER / f"{aspect or 'answer'}.txt", is_users=file is not None)
            for aspect in names
        }

    @property
    def text(self) -> str:
        """All different texts in a fixed order, which the judge's identity has the hash of."""
        return "\n\f\n".join(dict.fromkeys(self._texts.values()))

    def messages(self, comparison: Comparison) -> Messages:
        """Fill a comparison into its text; text in answers that looks like a placeholder is not replaced.

        Raises:
            ValueError: consistency is to be judged, but the text has no placeholder for the second answer.
        """
        text = self._texts[comparison.aspect]
        if comparison.aspect is Aspect.CONSISTENCY and "{second_prediction}" not in text:
            raise ValueError("the prompt has no {second_prediction}, without which no consistency can be judged")
        places = {name: getattr(comparison, name) or "" for name in PLACES}
        parts = [_PLACE.sub(lambda place: places[place[1]], part).strip() for part in _DIVISION.split(text, maxsplit=1)]
        return Messages("" if len(parts) == 1 else parts[0], parts[-1])


def _read(path: Path, is_users: bool) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt {path} cannot be read: {error}") from error
    missing = [f"{{{name}}}" for name in NEEDED if f"{{{name}}}" not in text]
    if missing:
        raise ValueError(f"prompt {path} has no place for {', '.join(missing)}")
    unknown = sorted(set(re.findall(r"\{(\w+)\}", text)) - set(PLACES))
    if is_users and unknown:
        raise ValueError(f"prompt {path} has {{{unknown[0]}}}; known are {', '.join(f'{{{n}}}' for n in PLACES)}")
    return text


class ReplyError(Exception):
    """A reply that cannot be read, with the reason."""


def read_reply(reply: str, aspect: Aspect | None) -> Judgement:
    """Parse a judgement from a reply: `{"pred": "yes", "score": 4}`, or `{"score": 4}` for an aspect.

    Code fences, Python's quotes and further keys are accepted.

    Raises:
        ReplyError: the reply has another form.
    """
    content = _object(reply)
    score = content.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= BEST_SCORE:
        raise ReplyError(f"the score is {_shown(score)}, not a number from 0 to {BEST_SCORE}")
    if aspect is not None:
        return Judgement(score=float(score), reply=reply)
    right = content.get("pred")
    if not isinstance(right, str) or right.strip().lower() not in ("yes", "no"):
        raise ReplyError(f"pred is {_shown(right)}, neither yes nor no")
    return Judgement(right=right.strip().lower() == "yes", score=float(score), reply=reply)


def _object(reply: str) -> dict[str, Any]:
    if len(reply) > LONGEST:
        raise ReplyError(f"the reply has {len(reply)} characters, and the object asked for is short")
    text = reply.strip()
    fenced = _FENCED.fullmatch(text)
    text = fenced[1].strip() if fenced else text
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        try:
            content = _of_python(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ReplyError("the reply is not a JSON object") from None
    if not isinstance(content, dict):
        raise ReplyError("the reply is not a JSON object")
    return content


def _of_python(text: str) -> Any:
    tree = ast.parse(text, mode="eval")
    content = ast.literal_eval(tree)  # fails first if a key below is not a literal
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            _without_repetition([(ast.literal_eval(key), None) for key in node.keys if key])
    return content


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ReplyError("the reply says the same key twice")
    return content


def _shown(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) <= 60 else f"{text[:60]}..."

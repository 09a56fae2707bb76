"""What a model that judges has written, read strictly: the object it was asked for, or nothing."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from components.judges.base import BEST_SCORE, Aspect, Judgement

LONGEST = 4000  # characters: no object that was asked for is longer
_FENCED = re.compile(r"```(?:json|python)?\s*\n?(.*?)\n?\s*```", re.DOTALL)


class ReplyError(Exception):
    """A reply that is not what was asked for; says how."""


def read_reply(reply: str, aspect: Aspect | None) -> Judgement:
    """Return the judgement of a reply: `{"pred": "yes", "score": 4}`, or `{"score": 4}` for an aspect.

    Code fences around it and Python's quotes are accepted, and keys beside those asked for.

    Raises:
        ReplyError: it is anything else.
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
            raise ReplyError("the reply is no JSON object") from None
    if not isinstance(content, dict):
        raise ReplyError("the reply is no JSON object")
    return content


def _of_python(text: str) -> Any:
    tree = ast.parse(text, mode="eval")
    content = ast.literal_eval(tree)  # first, so that all keys below are literals
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

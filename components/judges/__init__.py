"""Judges of generated answers, which need no video-language model: the family `judges`."""

from components.judges.base import Aspect, Comparison, Judge, JudgeError, JudgeIdentity, Judgement
from components.judges.exact_match import ExactMatch
from components.judges.local import LocalJudge
from components.judges.server import ServerJudge

__all__ = [
    "Aspect",
    "Comparison",
    "ExactMatch",
    "Judge",
    "JudgeError",
    "JudgeIdentity",
    "Judgement",
    "LocalJudge",
    "ServerJudge",
]

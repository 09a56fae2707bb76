"""What all judges have in common that are language models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.judges.base import Comparison, Judge, Judgement
from components.judges.prompt import JudgePrompt, Messages
from components.judges.reply import ReplyError, read_reply


@dataclass(frozen=True)
class Reply:
    """What a model wrote.

    Attributes:
        text: as it is.
        answered_by: what a server says that it is.
    """

    text: str
    answered_by: str | None = None


@dataclass(frozen=True)
class NoReply:
    """Why a model wrote nothing."""

    reason: str


class PromptedJudge(Judge):
    """Asks a model, and asks again what it did not answer in the form that was asked for.

    Attributes:
        prompt: what is asked.
        asks: how often it is asked at most.
    """

    def __init__(self, prompt: JudgePrompt, asks: int) -> None:
        """Take what is asked, and how often at most.

        Raises:
            ValueError: `asks` is not positive.
        """
        if asks < 1:
            raise ValueError(f"judge.init_args.asks is {asks}; it must be at least 1")
        self.prompt = prompt
        self.asks = asks

    @abstractmethod
    def replies(self, messages: Sequence[Messages]) -> list[Reply | NoReply]:
        """Return what the model writes to each."""

    def prompt_length(self, comparison: Comparison) -> int:
        """Return how many characters it would be asked with."""
        messages = self.prompt.messages(comparison)
        return len(messages.system) + len(messages.user)

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Ask; what has no readable reply in the end is unjudged, with the last reply."""
        judgements = [Judgement(unjudged="not asked")] * len(comparisons)
        waiting = list(range(len(comparisons)))
        for ask in range(1, self.asks + 1):
            replies = self.replies([self.prompt.messages(comparisons[index]) for index in waiting])
            for index, reply in zip(tuple(waiting), replies, strict=True):
                if isinstance(reply, NoReply):
                    # A reply that could not be read stays, rather than being lost to a server that failed later.
                    if judgements[index].reply is None:
                        judgements[index] = Judgement(unjudged=reply.reason)
                    waiting.remove(index)
                    continue
                try:
                    read = read_reply(reply.text, comparisons[index].aspect)
                    waiting.remove(index)
                except ReplyError as error:
                    read = Judgement(reply=reply.text, unjudged=f"{error} (asked {ask} times)")
                judgements[index] = replace(read, answered_by=reply.answered_by)
            if not waiting:
                break
        return judgements

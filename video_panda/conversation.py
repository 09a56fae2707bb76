"""A conversation about one clip, of which the model is told the latest turns that fit beside a new question."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from lightning_modules.training.accelerator import memory_errors
from video_panda.model import VideoPanda

SMALLER = "--dtype bfloat16, a shorter conversation about a clip, or --device cpu"


class Conversation:
    """Questions about one clip, and their answers.

    Attributes:
        clip: file of the clip; None for questions without one.
        turns: questions and complete answers.
        forgotten: number of turns, the oldest, that the model was not told with the last question.
    """

    def __init__(self, panda: VideoPanda, clip: Path | None = None) -> None:
        """Measure the clip.

        Args:
            panda: model that answers.
            clip: file of the clip; None for questions without one.

        Raises:
            ValueError: the clip cannot be read, or is by itself too long for the model.
        """
        self.panda = panda
        self.clip = clip
        self.turns: list[tuple[str, str]] = []
        self.forgotten = 0
        self._visual = 0  # tokens of the clip
        if clip is not None:
            self._visual = panda.processor("", clip)["input_ids"].shape[1] - self._text_length([], "")

    def ask(self, question: str) -> Generator[str, None, None]:
        """Answer a question piece by piece; it is a turn once its answer is complete.

        Where the generator is closed, or interrupted by Ctrl-C, the answer stops and leaves no turn.

        Raises:
            ValueError: the clip cannot be read any more, or the question alone is too long, which is raised at once; or
                the memory does not suffice for the answer.
        """
        limit = self.panda.processor.max_length - self.panda.model.generation_config.max_new_tokens - self._visual
        count = len(self.turns)
        fits = (start for start in range(count) if self._text_length(self.turns[start:], question) <= limit)
        self.forgotten = next(fits, count)
        with memory_errors(SMALLER):
            pieces = self.panda.stream(self.clip, question, self.turns[self.forgotten :])
        return self._kept(question, pieces)

    def reset(self) -> None:
        """Begin anew, with the same clip."""
        self.turns.clear()
        self.forgotten = 0

    def _kept(self, question: str, pieces: Generator[str, None, None]) -> Generator[str, None, None]:
        said = []
        with memory_errors(SMALLER), closing(pieces):
            for piece in pieces:
                said.append(piece)
                yield piece
        self.turns.append((question, "".join(said)))

    def _text_length(self, turns: list[tuple[str, str]], question: str) -> int:
        """Return the number of tokens of turns and question, without the clip."""
        _, _, text = self.panda.processor.parts()
        with_clip = self.clip is not None
        return len(text.encode_question(turns, question, with_clip=with_clip)) - with_clip  # one holds the clip's place

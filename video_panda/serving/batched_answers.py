"""Answers what arrives together in one batch, in a thread of its own: `BatchedAnswers`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature, StoppingCriteria, StoppingCriteriaList

from video_panda.model import VideoPanda
from video_panda.processing import joined

log = logging.getLogger(__name__)

GATHER = 0.005  # seconds that a batch which is not full waits for more, a small part of the time of any answer


class EndedError(Exception):
    """The answers were stopped before this one was complete."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: requests that draw alike may share a batch.

    Attributes:
        temperature: divisor of the logits; 0 takes the most likely token.
        top_p: share of the probability from which tokens are drawn.
        seed: seed of one request, which is answered alone, so that its answer does not depend on others; None for none.
    """

    temperature: float
    top_p: float = 1.0
    seed: int | None = None

    def options(self, top_k: int | None) -> dict[str, Any]:
        """Return the settings of `generate`; `top_k` is that of the model's `generation_config`, where it has one."""
        if not self.temperature:
            return {"do_sample": False}
        return {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": top_k or 0}


@dataclass(frozen=True)
class Piece:
    """A piece of one of the answers to a request.

    Attributes:
        number: number of the answer.
        text: text that follows the earlier pieces.
        finish: why the answer is over: "stop" for its end, "length" for its limit; empty if it goes on.
    """

    number: int
    text: str
    finish: str


class Answer:
    """One answer while it is generated.

    Attributes:
        ids: its tokens so far, with the one that ends it.
        finish: why it is over; empty while it goes on.
    """

    def __init__(
        self, number: int, decode: Callable[[list[int]], str], limit: int, stops: Sequence[str], in_pieces: bool
    ) -> None:
        """Set its limits.

        Args:
            number: its number among the answers to a request.
            decode: makes text of ids, without special tokens.
            limit: maximum number of tokens.
            stops: texts before which it ends.
            in_pieces: whether it is told word by word.
        """
        self.number, self.limit = number, limit
        self.ids: list[int] = []
        self.finish = ""
        self._decode, self._stops, self._in_pieces = decode, stops, in_pieces
        self._before = ""  # text up to the token before
        self._said = ""

    def add(self, token: int, ends: bool) -> Piece | None:
        """Take the next token, and return what can be said of the answer now.

        The pieces together are the text that `VideoPanda.ask` returns, without surrounding space.
        """
        self.ids.append(token)
        last = ends or len(self.ids) >= self.limit
        text = self._decode(self.ids) if last or self._stops or self._in_pieces else ""
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if last or places:
            self.finish = "stop" if ends or places else "length"
            return self._piece(text[: min(places, default=len(text))].strip())
        if not self._in_pieces:
            return None
        # Later tokens change the end of a text: half a letter, a space before a comma, the beginning of a stop.
        sure = _common(self._before, text).rstrip("\ufffd")
        self._before = text
        begun = [size for stop in self._stops for size in range(1, len(stop)) if sure.endswith(stop[:size])]
        sure = sure[: len(sure) - max(begun, default=0)].strip()
        return self._piece(sure) if len(sure) > len(self._said) else None

    def _piece(self, text: str) -> Piece:
        new, self._said = text[len(self._said) :], text
        return Piece(self.number, new, self.finish)


def _common(one: str, other: str) -> str:
    """Return the beginning that two texts share."""
    size = min(len(one), len(other))
    return one[: next((place for place in range(size) if one[place] != other[place]), size)]


class Job:
    """A request on its way: its inputs, and its answers as they grow.

    Attributes:
        inputs: inputs of the model, of one question.
        answers: its answers, which are generated as rows of one batch.
        sampling: how tokens are drawn.
        gone: whether nobody waits for the answers any more, which ends them; to be set by any thread.
    """

    def __init__(
        self,
        inputs: BatchFeature,
        answers: Sequence[Answer],
        sampling: Sampling,
        tell: Callable[[Piece | Exception | None], None],
    ) -> None:
        """Set the parts.

        Args:
            inputs: inputs of the model, of one question, on the host.
            answers: its answers.
            sampling: how tokens are drawn.
            tell: called in the thread of the answers with each piece, and at the end with None or an error.
        """
        self.inputs, self.answers, self.sampling = inputs, answers, sampling
        self.gone = False
        self._tell = tell
        self._over = False

    @property
    def prompt_tokens(self) -> int:
        """Number of tokens of the question, with those of its clip."""
        return int(self.inputs["attention_mask"].sum())

    @property
    def tokens(self) -> int:
        """Number of tokens of all answers, with those that end them."""
        return sum(len(answer.ids) for answer in self.answers)

    def tell(self, piece: Piece) -> None:
        """Pass on a piece, and the end after the last."""
        self._tell(piece)
        if all(answer.finish for answer in self.answers):
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """Pass on the end, once."""
        if not self._over:
            self._over = True
            self._tell(error)


class BatchedAnswers:
    """Generates answers in a thread: the oldest job, and with it all waiting ones that fit into its batch."""

    def __init__(self, panda: VideoPanda, rows: int) -> None:
        """Start the thread.

        Args:
            panda: model.
            rows: most answers per batch.
        """
        self.panda = panda
        self.rows = rows
        ends = panda.model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._waiting: list[Job] = []
        self._arrived = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether jobs are answered."""
        return self._thread.is_alive() and not self._ending

    def submit(self, job: Job) -> None:
        """Queue a job, whose `tell` is called soon."""
        with self._arrived:
            if self.running:
                self._waiting.append(job)
                self._arrived.notify()
                return
        job.end(EndedError())

    def end_soon(self) -> None:
        """End all jobs within a token; it takes no lock, so that a handler of signals may call it."""
        self._ending = True

    def stop(self) -> None:
        """End all jobs, and wait for the thread."""
        self.end_soon()
        with self._arrived:
            self._arrived.notify()
        self._thread.join()

    def _run(self) -> None:
        jobs: list[Job] = []
        while not self._ending:
            try:
                jobs = self._next()
                if jobs:
                    self._answer(jobs)
            except Exception as error:  # of one batch; the next may do
                log.exception("a batch of %d was not answered", len(jobs))
                for job in jobs:
                    job.end(error)
        with self._arrived:
            jobs += self._waiting
        for job in jobs:
            job.end(EndedError())

    def _next(self) -> list[Job]:
        """Return the jobs of the next batch, in order of arrival."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._ending, timeout=1)
            if self._waiting:
                self._arrived.wait_for(lambda: len(self._waiting) >= self.rows, timeout=GATHER)
            for job in [job for job in self._waiting if job.gone]:
                self._waiting.remove(job)
                job.end(EndedError())
            if not self._waiting:
                return []
            first = self._waiting[0]
            jobs, free = [], self.rows
            for job in list(self._waiting):
                alike = job is first or (job.sampling == first.sampling and first.sampling.seed is None)
                if alike and (job is first or len(job.answers) <= free):
                    jobs.append(job)
                    free -= len(job.answers)
                    self._waiting.remove(job)
            return jobs

    def _answer(self, jobs: Sequence[Job]) -> None:
        model, rows = self.panda.model, [(job, answer) for job in jobs for answer in job.answers]
        config, sampling = model.generation_config, jobs[0].sampling
        inputs = joined([job.inputs for job, _ in rows], config.pad_token_id).to(model.device)
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=sampling.seed is not None):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            self.panda.generate(
                inputs,
                max_new_tokens=max(answer.limit for _, answer in rows),
                stopping_criteria=StoppingCriteriaList([_EndOfRows(lambda tokens: self._take(rows, tokens))]),
                **sampling.options(config.top_k),
            )

    def _take(self, rows: Sequence[tuple[Job, Answer]], tokens: Sequence[int]) -> list[bool]:
        """Give each answer its next token, and return which are over."""
        for (job, answer), token in zip(rows, tokens, strict=True):
            if not answer.finish and not job.gone and (piece := answer.add(token, token in self._ends)):
                job.tell(piece)
        for job in {id(job): job for job, _ in rows}.values():
            if job.gone or self._ending:
                job.end(EndedError())
        return [bool(answer.finish) or job.gone or self._ending for job, answer in rows]


class _EndOfRows(StoppingCriteria):
    """Ends each row of a batch by itself."""

    def __init__(self, take: Callable[[Sequence[int]], list[bool]]) -> None:
        self.take = take

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        return torch.tensor(self.take(input_ids[:, -1].tolist()), device=input_ids.device)

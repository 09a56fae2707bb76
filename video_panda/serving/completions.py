"""One request of chat completions after the other: `ChatService`, from the body of a request to that of its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from video_panda.model import VideoPanda
from video_panda.serving.batched_answers import Answer, BatchedAnswers, EndedError, Job, Piece, Sampling
from video_panda.serving.chat_request import ChatRequest, Conversation, RefusedError
from video_panda.serving.media import Media

log = logging.getLogger(__name__)

TOO_SLOW = "there was no whole answer in the time that --timeout gives"
READERS = 4  # clips that are read at the same time, beside the batch that is being answered
MB = 10**6


class ChatService:
    """Answers requests of chat completions by one model.

    Attributes:
        name: name of the model in requests.
        answers: thread that generates answers.
        admitted: number of requests that were let in and are not over.
    """

    def __init__(
        self, panda: VideoPanda, name: str, media: Media, rows: int, queue: int, timeout: float, max_upload: float
    ) -> None:
        """Set the limits, and start the thread that answers.

        Args:
            panda: model.
            name: name of the model in requests.
            media: how clips are opened.
            rows: most answers per batch.
            queue: most requests that are let in at the same time.
            timeout: seconds for one request, from its arrival to the end of its answer.
            max_upload: size of the largest request, in MB.
        """
        self.panda, self.name, self.media = panda, name, media
        self.queue, self.timeout, self.max_upload = queue, timeout, max_upload
        self.admitted = 0
        self.answers = BatchedAnswers(panda, rows)
        self.began = int(time.time())
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="clips")
        self._watches: set[asyncio.Task[None]] = set()

    async def complete(self, http: Request) -> Response:
        """Answer a request, whole or in pieces.

        Raises:
            RefusedError: it cannot be answered.
        """
        if self.admitted >= self.queue:  # before its clip is in memory
            raise RefusedError(f"{self.queue} requests are waiting or being answered; try again", status=429)
        until = time.monotonic() + self.timeout
        reply = Reply(until, self._leave)
        self.admitted += 1
        try:
            async with asyncio.timeout(self.timeout):
                body = await self._body(http)
                loop = asyncio.get_running_loop()
                request, job = await loop.run_in_executor(self._readers, self._read, body, reply.tell)
        except BaseException as error:
            self._leave()
            raise _refusal(error) from None
        self.answers.submit(job)
        watch = asyncio.create_task(_watch(http, job))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if request.stream:
            with_usage = bool(request.stream_options and request.stream_options.include_usage)
            events = self._events(head, job, reply, with_usage)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        return JSONResponse(await self._whole(head, job, reply))

    def close(self) -> None:
        """End what is being answered."""
        self.answers.stop()
        self._readers.shutdown(cancel_futures=True)

    def _leave(self) -> None:
        self.admitted -= 1

    async def _body(self, http: Request) -> bytes:
        if http.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            # Also what keeps web pages from asking: a browser sends only other types without permission of the server.
            raise RefusedError("the Content-Type of a request must be application/json", status=415)
        too_large = RefusedError(f"a request may have {self.max_upload:g} MB", status=413)
        limit = self.max_upload * MB
        with suppress(ValueError):
            if int(http.headers.get("Content-Length", 0)) > limit:
                raise too_large
        body = bytearray()
        async for part in http.stream():
            body += part
            if len(body) > limit:
                raise too_large
        return bytes(body)

    def _read(self, body: bytes, tell: Callable[[Piece | Exception | None], None]) -> tuple[ChatRequest, Job]:
        """Read a request and its clip; runs in a thread of its own."""
        request = ChatRequest.parse(body, self.name)
        config = self.panda.model.generation_config
        processor, longest = self.panda.processor, request.longest
        asked = Conversation.of(request.messages)
        self._check_frames(request.frames)
        # A limit of the request is an upper one: the answer ends with the memory of the model, if that is sooner.
        room = config.max_new_tokens if longest is None else 1
        with self.media.clip(asked) as clip:
            inputs = processor(asked.question, clip, asked.before, max_new_tokens=room)
        room = processor.max_length - int(inputs["attention_mask"].sum())
        limit = min(longest or config.max_new_tokens, room)
        answers = [
            Answer(number, self._decode, limit, request.stop or (), bool(request.stream))
            for number in range(request.n or 1)
        ]
        temperature = request.temperature
        if temperature is None:
            temperature = (1.0 if config.temperature is None else config.temperature) if config.do_sample else 0.0
        top_p = config.top_p if request.top_p is None else request.top_p
        drawn = Sampling(temperature, 1.0 if top_p is None else top_p, request.seed)
        return request, Job(inputs, answers, drawn if temperature else Sampling(0.0), tell)

    def _check_frames(self, wanted: int | None) -> None:
        sampler = self.panda.processor.parts()[0].sampler
        own = getattr(sampler, "frames", None)
        if wanted is not None and wanted != own:
            shown = f"{own} frames" if own else f"frames chosen by a {type(sampler).__name__}"
            raise RefusedError(
                f"media_io_kwargs asks for {wanted} frames; the model is shown {shown}", "media_io_kwargs"
            )

    def _decode(self, ids: list[int]) -> str:
        return str(self.panda.processor.tokenizer.decode(ids, skip_special_tokens=True))

    async def _whole(self, head: dict[str, Any], job: Job, reply: Reply) -> dict[str, Any]:
        texts = dict.fromkeys(range(len(job.answers)), "")
        async for piece in reply.pieces(job):
            texts[piece.number] += piece.text
        choices = [
            {
                "index": answer.number,
                "message": {"role": "assistant", "content": texts[answer.number], "refusal": None},
                "finish_reason": answer.finish,
                "logprobs": None,
            }
            for answer in job.answers
        ]
        return head | {"object": "chat.completion", "choices": choices, "usage": _usage(job)}

    async def _events(self, head: dict[str, Any], job: Job, reply: Reply, with_usage: bool) -> AsyncIterator[str]:
        """Yield an answer as server-sent events; an error after the first is an event too."""
        head = head | {"object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})

        def chunk(number: int, delta: dict[str, str], finish: str | None = None) -> str:
            choice = {"index": number, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _event(head | {"choices": [choice]})

        try:
            for answer in job.answers:
                yield chunk(answer.number, {"role": "assistant", "content": ""})
            async for piece in reply.pieces(job):
                if piece.text:
                    yield chunk(piece.number, {"content": piece.text})
                if piece.finish:
                    yield chunk(piece.number, {}, piece.finish)
            if with_usage:
                yield _event(head | {"choices": [], "usage": _usage(job)})
            yield "data: [DONE]\n\n"
        except RefusedError as error:
            yield _event(error.content())


class Reply:
    """The way of pieces from the thread of the answers to that of a request."""

    def __init__(self, until: float, over: Callable[[], None]) -> None:
        """Set the end of waiting.

        Args:
            until: time of the monotonic clock.
            over: called when there is nothing more to come, also if nobody waits for it any more.
        """
        self._until, self._over = until, over
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()

    def tell(self, piece: Piece | Exception | None) -> None:
        """Pass on a piece, an error, or None at the end; for another thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take, piece)

    def _take(self, piece: Piece | Exception | None) -> None:
        self._queue.put_nowait(piece)
        if not isinstance(piece, Piece):
            self._over()

    async def pieces(self, job: Job) -> AsyncIterator[Piece]:
        """Yield the pieces.

        Raises:
            RefusedError: the time is over, the server ends, or the answers failed.
        """
        while True:
            try:
                piece = await asyncio.wait_for(self._queue.get(), self._until - time.monotonic())
            except TimeoutError:
                job.gone = True
                raise RefusedError(TOO_SLOW, status=504) from None
            if piece is None:
                return
            if isinstance(piece, EndedError):
                raise RefusedError("the server ends, or nobody waits for the answer", status=503)
            if isinstance(piece, Exception):
                raise RefusedError(
                    f"the answer failed with a {type(piece).__name__}; the server's log has more", status=500
                )
            yield piece


def _refusal(error: BaseException) -> BaseException:
    """Return what to say of an error before the answer, which is logged if it is none of the client's."""
    if isinstance(error, TimeoutError):
        return RefusedError(TOO_SLOW, status=504)
    if isinstance(error, RefusedError | ClientDisconnect) or not isinstance(error, Exception):
        return error
    log.error("a request failed", exc_info=error)
    return RefusedError(f"the request failed with a {type(error).__name__}; the server's log has more", status=500)


def _usage(job: Job) -> dict[str, int]:
    prompt, answers = job.prompt_tokens, job.tokens
    return {"prompt_tokens": prompt, "completion_tokens": answers, "total_tokens": prompt + answers}


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


async def _watch(http: Request, job: Job) -> None:
    """End the answers when the client goes away; after a complete response that changes nothing."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
    job.gone = True

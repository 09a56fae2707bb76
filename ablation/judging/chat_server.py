"""An OpenAI-compatible server, asked with the patience that a long evaluation needs.

The package `openai` sends and reads; how often is decided here. Its own retries keep no pace over all threads, cannot
be stopped while they wait, and do not ask again for half an answer.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Mapping

from httpx2 import ByteStream, ConnectError, InvalidURL, Limits, ProxyError, Request, Response, SyncByteStream
from openai import APIConnectionError, APIStatusError, APITimeoutError, DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from ablation.judging.judge import JudgeError
from ablation.judging.pace import Pace, StoppedError, TimeLimit
from ablation.judging.prompted import Messages, NoReply, Reply

LONGEST_WAIT = 60.0  # seconds between two attempts
LARGEST_BODY = 1 << 20  # bytes
FAILURES_IN_A_ROW = 10
_HEADERS = {"host", "content-type", "content-length", "accept", "connection", "user-agent"}
_NOT_HERE = {
    401: "refuses the API key",
    403: "refuses the API key",
    404: "has no such address or model",
    405: "is none",
}


class _AttemptError(Exception):
    """An attempt that failed and may be made again, after at least so many seconds."""

    def __init__(self, reason: str, wait: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.unreachable = wait, unreachable


class ChatServer:
    """Sends one conversation at a time and returns what the server's model writes; may be used by many threads.

    It follows no redirection, which may take the key elsewhere, and leaves no connection open. Proxies and certificates
    are those of the environment (`https_proxy`, `no_proxy`, `SSL_CERT_FILE`); the variables of the package
    (`OPENAI_BASE_URL`, `OPENAI_CUSTOM_HEADERS`, ...) give no address, no key and no further header.
    """

    def __init__(
        self, base_url: str, key_variable: str | None, timeout: float, attempts: int, backoff: float, pace: Pace
    ) -> None:
        """Take the address, and the key out of the environment.

        Args:
            base_url: up to and with `/v1`.
            key_variable: name of the environment variable that has the API key; None: the server needs none.
            timeout: seconds that the server may be silent, and that the body of its answer may take; a whole request
                ends after twice as long.
            attempts: how often a request is made at most.
            backoff: seconds before the second attempt; twice as long before each further one.
            pace: of all requests.

        Raises:
            JudgeError: the address or a proxy is none, or the variable is not set.
        """
        parts = urllib.parse.urlsplit(base_url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise JudgeError(
                f"judge.init_args.base_url must be like https://{parts.hostname}/v1, without user, password or "
                "parameters; a key belongs in the environment variable that judge.init_args.api_key_variable names"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JudgeError(f"judge.init_args.base_url is {base_url!r}; it must be like https://HOST/v1")
        base_url = base_url.rstrip("/")
        self.url = f"{base_url}/chat/completions"
        self._key = _key(key_variable)
        self.timeout, self.attempts, self.backoff, self.pace = timeout, attempts, backoff, pace
        hooks: dict[str, list[Callable[..., None]]] = {"request": [self._sign], "response": [self._read_whole]}
        limits = Limits(max_keepalive_connections=0)  # the server may be closing one that is kept: an attempt lost
        try:
            http = DefaultHttpxClient(follow_redirects=False, limits=limits, event_hooks=hooks)
            self._client = OpenAI(api_key="none", base_url=base_url, timeout=timeout, max_retries=0, http_client=http)
        except (InvalidURL, ValueError, ImportError, OSError) as error:
            raise JudgeError(
                f"{base_url} cannot be asked: {error} (judge.init_args.base_url, or a proxy or SSL_CERT_FILE of the "
                "environment)"
            ) from error
        self._lock = threading.Lock()
        self._asking = threading.local()
        self._failures = 0

    def ask(self, messages: Messages, model: str, parameters: Mapping[str, object]) -> Reply | NoReply:
        """Return the reply, or why there is none after all attempts.

        Args:
            messages: what to ask.
            model: whom.
            parameters: further fields of the request: temperature, ...

        Raises:
            JudgeError: no server is there, it is none of this kind, or it failed too often in a row.
        """
        try:
            reply = self._patiently(messages, model, parameters)
        except StoppedError:
            return NoReply("stopped before there was a reply")
        with self._lock:
            self._failures = self._failures + 1 if isinstance(reply, NoReply) else 0
            failures = self._failures
        if isinstance(reply, NoReply) and failures >= FAILURES_IN_A_ROW:
            raise JudgeError(
                f"{self.url} gave no reply to {failures} questions in a row; the last time: {reply.reason}"
            )
        return reply

    def _patiently(self, messages: Messages, model: str, parameters: Mapping[str, object]) -> Reply | NoReply:
        for attempt in range(1, self.attempts + 1):
            self.pace.wait()
            try:
                return self._once(messages, model, parameters)
            except _AttemptError as error:
                last = error
            if attempt < self.attempts:
                delay = self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                self.pace.sleep(min(max(delay, last.wait), LONGEST_WAIT))
        if last.unreachable:
            raise JudgeError(f"no server answers at {self.url}: {last} (judge.init_args.base_url)")
        return NoReply(f"{last} ({self.attempts} attempts)")

    def _once(self, messages: Messages, model: str, parameters: Mapping[str, object]) -> Reply | NoReply:
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": messages.user}]
        if messages.system:
            asked.insert(0, {"role": "system", "content": messages.system})
        completions = self._client.chat.completions.with_raw_response
        refusal = None
        try:
            with TimeLimit(2 * self.timeout) as limit:
                self._asking.limit = limit
                answer = completions.create(model=model, messages=asked, extra_body=parameters)
        except APITimeoutError:
            raise _AttemptError(f"no answer within {self.timeout:g} s") from None
        except APIConnectionError as error:
            if limit.over:
                raise _AttemptError(f"no whole answer within {2 * self.timeout:g} s") from None
            raise self._unconnected(error) from None
        except APIStatusError as error:
            refusal = error.response
        if refusal is not None:  # not above, or a traceback would show the error, which may repeat the key
            return self._refused(refusal)
        self._check_kind(answer.http_response)
        try:
            completion = answer.parse()  # which checks no types
            written, by = completion.choices[0].message.content, completion.model
            if not isinstance(written, str | None):
                raise TypeError
        except (ValueError, RecursionError):
            raise _AttemptError(f"what came is not whole JSON: {self._excerpt(answer.text)}") from None
        except (AttributeError, LookupError, TypeError):
            raise _AttemptError(f"what came is no chat completion: {self._excerpt(answer.text)}") from None
        return Reply(self._clean(written or ""), self._clean(by) if isinstance(by, str) else None)

    def _sign(self, request: Request) -> None:
        """Give a request its time and the key if there is one, and leave it no header that is the environment's."""
        request.extensions["trace"] = self._asking.limit.trace
        for name in set(request.headers) - _HEADERS:
            if not name.startswith("x-stainless-"):  # by which the package knows its own requests again
                del request.headers[name]
        request.headers["Accept-Encoding"] = "identity"  # answers are short
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"

    def _read_whole(self, response: Response) -> None:
        """Read a body, which otherwise is read without end of bytes or of time."""
        stream, body, end = response.stream, bytearray(), time.monotonic() + self.timeout
        assert isinstance(stream, SyncByteStream)
        for part in stream:
            body += part
            if len(body) > LARGEST_BODY:
                raise _AttemptError(f"what came has more than {LARGEST_BODY} bytes")
            if time.monotonic() > end:
                raise _AttemptError(f"no whole answer within {self.timeout:g} s")
        stream.close()
        content = _unpacked(bytes(body), response.headers.get("Content-Encoding", "").strip().lower())
        response.headers.pop("Content-Encoding", None)
        response.stream = ByteStream(content)

    def _unconnected(self, error: APIConnectionError) -> Exception:
        said = self._clean(str(error.__cause__) or repr(error.__cause__))
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(error.__cause__, ConnectError | ProxyError):
            if isinstance(cause, ssl.SSLError):
                return JudgeError(f"{self.url}: no secure connection: {said} (judge.init_args.base_url)")
            if not isinstance(cause, ConnectionResetError):
                return _AttemptError(said, unreachable=True)
        return _AttemptError(f"the connection broke: {said}")

    def _refused(self, response: Response) -> NoReply:
        status = response.status_code
        said = f"status {status}: {self._excerpt(response.text)}"
        if status in (408, 425, 429) or status >= 500:
            raise _AttemptError(said, wait=_seconds(response.headers.get("Retry-After")))
        if 300 <= status < 400:
            where = self._clean(str(response.headers.get("Location")))
            raise JudgeError(f"{self.url} is elsewhere: {where}; give that address (judge.init_args.base_url)")
        self._check_kind(response)
        if status in _NOT_HERE:
            raise JudgeError(f"the server at {self.url} {_NOT_HERE[status]}; it says {said}")
        return NoReply(said)

    def _check_kind(self, response: Response) -> None:
        if "text/html" in response.headers.get("Content-Type", "").lower() or response.text.lstrip()[:1] == "<":
            raise JudgeError(
                f"{self.url} answers with a web page (HTML), so it is no server of chat completions; an address ends "
                "with /v1 as a rule (judge.init_args.base_url)"
            )

    def _excerpt(self, text: str) -> str:
        short = " ".join(self._clean(text).split())
        return f"{short[:200]}..." if len(short) > 200 else short or "nothing"

    def _clean(self, text: str) -> str:
        """Return what a server said without the key, which some repeat; a short one is a stand-in, and no secret."""
        return text.replace(self._key, "***") if len(self._key) >= 8 else text


def _unpacked(body: bytes, packing: str) -> bytes:
    """Return what a server has packed although it was not asked to, unless that is too much."""
    if packing in ("", "identity"):
        return body
    if packing not in ("gzip", "deflate"):
        raise _AttemptError(f"what came is packed as {packing[:20]!r}, which was not asked for")
    try:
        content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        raise _AttemptError(f"what came is no {packing}") from None
    if len(content) > LARGEST_BODY:
        raise _AttemptError(f"what came has more than {LARGEST_BODY} bytes")
    return content


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    if not variable.isidentifier():  # and perhaps a key, which must not be shown
        raise JudgeError("judge.init_args.api_key_variable must be the name of an environment variable, not a key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise JudgeError(
            f"the environment variable {variable} has no API key; set it, name another "
            "(judge.init_args.api_key_variable), or set that to null for a server that needs none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise JudgeError(f"what the environment variable {variable} has is no API key: it has spaces or odd characters")
    return key


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:  # a date
        return 0.0

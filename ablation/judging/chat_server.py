"""A client of OpenAI-compatible servers with the retries that a long evaluation needs.

The package `openai` sends requests and reads responses; retries are made here. The package's own retries have no rate
limit over all threads, cannot be stopped while they wait, and do not repeat a request after half an answer.
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
    405: "does not accept such requests",
}


class _AttemptError(Exception):
    """A failed attempt that may be repeated, after at least `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.unreachable = wait, unreachable


class ChatServer:
    """Sends one conversation per request and returns the reply of the server's model; thread-safe.

    It follows no redirects, which could send the key elsewhere, and keeps no connection open. Proxies and certificates
    are those of the environment (`https_proxy`, `no_proxy`, `SSL_CERT_FILE`); the variables of the package
    (`OPENAI_BASE_URL`, `OPENAI_CUSTOM_HEADERS`, ...) have no effect on address, key and headers.
    """

    def __init__(
        self, base_url: str, key_variable: str | None, timeout: float, attempts: int, backoff: float, pace: Pace
    ) -> None:
        """Set the address, and read the key from the environment.

        Args:
            base_url: address of the server, including `/v1`.
            key_variable: name of the environment variable with the API key; None for a server without keys.
            timeout: maximum seconds without data from the server, and for the body of its answer; a whole request may
                take twice as long.
            attempts: maximum number of tries per request.
            backoff: seconds before the second try, doubled before each further one.
            pace: rate limit of all requests.

        Raises:
            JudgeError: the address or a proxy is invalid, or the variable is not set.
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
        limits = Limits(max_keepalive_connections=0)  # the server may just be closing a kept one, which costs a try
        try:
            http = DefaultHttpxClient(follow_redirects=False, limits=limits, event_hooks=hooks)
            self._client = OpenAI(api_key="none", base_url=base_url, timeout=timeout, max_retries=0, http_client=http)
        except (InvalidURL, ValueError, ImportError, OSError) as error:
            raise JudgeError(
                f"{base_url} cannot be asked: {error} (judge.init_args.base_url, or a proxy or SSL_CERT_FILE of the "
                "environment)"
            ) from error
        self._lock = threading.Lock()
        self._request = threading.local()
        self._failures = 0

    def ask(self, messages: Messages, model: str, parameters: Mapping[str, object]) -> Reply | NoReply:
        """Return the reply, or the reason why there is none after all tries.

        Args:
            messages: conversation.
            model: name of the model.
            parameters: further fields of the request, such as temperature.

        Raises:
            JudgeError: there is no server, it is of another kind, or it failed too often in a row.
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
        conversation: list[ChatCompletionMessageParam] = [{"role": "user", "content": messages.user}]
        if messages.system:
            conversation.insert(0, {"role": "system", "content": messages.system})
        completions = self._client.chat.completions.with_raw_response
        refusal = None
        try:
            with TimeLimit(2 * self.timeout) as limit:
                self._request.limit = limit
                answer = completions.create(model=model, messages=conversation, extra_body=parameters)
        except APITimeoutError:
            raise _AttemptError(f"no answer within {self.timeout:g} s") from None
        except APIConnectionError as error:
            if limit.over:
                raise _AttemptError(f"no whole answer within {2 * self.timeout:g} s") from None
            raise self._unconnected(error) from None
        except APIStatusError as error:
            refusal = error.response
        if refusal is not None:  # outside of `except`, since a traceback would show the error, which may have the key
            return self._refused(refusal)
        self._check_kind(answer.http_response)
        try:
            completion = answer.parse()  # checks no types
            written, by = completion.choices[0].message.content, completion.model
            if not isinstance(written, str | None):
                raise TypeError
        except (ValueError, RecursionError):
            raise _AttemptError(f"the response is not complete JSON: {self._excerpt(answer.text)}") from None
        except (AttributeError, LookupError, TypeError):
            raise _AttemptError(f"the response is not a chat completion: {self._excerpt(answer.text)}") from None
        return Reply(self._clean(written or ""), self._clean(by) if isinstance(by, str) else None)

    def _sign(self, request: Request) -> None:
        """Add the time limit and the key to a request, and remove headers that come from the environment."""
        request.extensions["trace"] = self._request.limit.trace
        for name in set(request.headers) - _HEADERS:
            if not name.startswith("x-stainless-"):  # the package needs these for its own requests
                del request.headers[name]
        request.headers["Accept-Encoding"] = "identity"  # answers are too short for compression
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"

    def _read_whole(self, response: Response) -> None:
        """Read a body with limits on its size and time, which the package does not have."""
        stream, body, end = response.stream, bytearray(), time.monotonic() + self.timeout
        assert isinstance(stream, SyncByteStream)
        for part in stream:
            body += part
            if len(body) > LARGEST_BODY:
                raise _AttemptError(f"the response has more than {LARGEST_BODY} bytes")
            if time.monotonic() > end:
                raise _AttemptError(f"no whole answer within {self.timeout:g} s")
        stream.close()
        content = _unpacked(bytes(body), response.headers.get("Content-Encoding", "").strip().lower())
        response.headers.pop("Content-Encoding", None)
        response.stream = ByteStream(content)

    def _unconnected(self, error: APIConnectionError) -> Exception:
        message = self._clean(str(error.__cause__) or repr(error.__cause__))
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(error.__cause__, ConnectError | ProxyError):
            if isinstance(cause, ssl.SSLError):
                return JudgeError(f"{self.url}: no secure connection: {message} (judge.init_args.base_url)")
            if not isinstance(cause, ConnectionResetError):
                return _AttemptError(message, unreachable=True)
        return _AttemptError(f"the connection broke: {message}")

    def _refused(self, response: Response) -> NoReply:
        status = response.status_code
        message = f"status {status}: {self._excerpt(response.text)}"
        if status in (408, 425, 429) or status >= 500:
            raise _AttemptError(message, wait=_seconds(response.headers.get("Retry-After")))
        if 300 <= status < 400:
            where = self._clean(str(response.headers.get("Location")))
            raise JudgeError(f"{self.url} is elsewhere: {where}; give that address (judge.init_args.base_url)")
        self._check_kind(response)
        if status in _NOT_HERE:
            raise JudgeError(f"the server at {self.url} {_NOT_HERE[status]}; it says {message}")
        return NoReply(message)

    def _check_kind(self, response: Response) -> None:
        if "text/html" in response.headers.get("Content-Type", "").lower() or response.text.lstrip()[:1] == "<":
            raise JudgeError(
                f"{self.url} answers with a web page (HTML), so it does not serve chat completions; an address ends "
                "with /v1 as a rule (judge.init_args.base_url)"
            )

    def _excerpt(self, text: str) -> str:
        short = " ".join(self._clean(text).split())
        return f"{short[:200]}..." if len(short) > 200 else short or "nothing"

    def _clean(self, text: str) -> str:
        """Remove the key from a server's text, since some repeat it; a short key is a placeholder and no secret."""
        return text.replace(self._key, "***") if len(self._key) >= 8 else text


def _unpacked(body: bytes, packing: str) -> bytes:
    """Decompress a body that a server compressed without being asked to, up to the size limit."""
    if packing in ("", "identity"):
        return body
    if packing not in ("gzip", "deflate"):
        raise _AttemptError(f"the response is compressed as {packing[:20]!r}, which was not asked for")
    try:
        content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        raise _AttemptError(f"the response is not valid {packing}") from None
    if len(content) > LARGEST_BODY:
        raise _AttemptError(f"the response has more than {LARGEST_BODY} bytes")
    return content


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    if not variable.isidentifier():  # perhaps a key, which must not be shown
        raise JudgeError("judge.init_args.api_key_variable must be the name of an environment variable, not a key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise JudgeError(
            f"the environment variable {variable} has no API key; set it, name another "
            "(judge.init_args.api_key_variable), or set that to null for a server that needs none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise JudgeError(
            f"the environment variable {variable} does not hold an API key: it has spaces or odd characters"
        )
    return key


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:  # a date
        return 0.0

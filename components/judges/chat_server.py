"""A client of servers that speak OpenAI's chat completions, with the patience that a long evaluation needs.

The standard library is enough for one kind of request, and follows no redirection that would take the key elsewhere.
"""

from __future__ import annotations

import email.message
import http.client
import json
import os
import random
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from components.judges.base import JudgeError
from components.judges.pace import Pace, StoppedError
from components.judges.prompt import Messages
from components.judges.prompted import NoReply, Reply

LONGEST_WAIT = 60.0  # seconds between two attempts
LARGEST_BODY = 1 << 20  # bytes
FAILURES_IN_A_ROW = 10
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


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class ChatServer:
    """Sends one conversation at a time and returns what the server's model writes; may be used by many threads."""

    def __init__(
        self, base_url: str, key_variable: str | None, timeout: float, attempts: int, backoff: float, pace: Pace
    ) -> None:
        """Take the address, and the key out of the environment.

        Args:
            base_url: up to and with `/v1`.
            key_variable: name of the environment variable that has the API key; None: the server needs none.
            timeout: seconds that the server may be silent.
            attempts: how often a request is made at most.
            backoff: seconds before the second attempt; twice as long before each further one.
            pace: of all requests.

        Raises:
            JudgeError: the address is none, or the variable is not set.
        """
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JudgeError(f"judge.init_args.base_url is {base_url!r}; it must be like https://HOST/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise JudgeError(
                f"judge.init_args.base_url must be like https://{parts.hostname}/v1, without user, password or "
                "parameters; a key belongs in the environment variable that judge.init_args.api_key_variable names"
            )
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = _key(key_variable)
        self.timeout, self.attempts, self.backoff, self.pace = timeout, attempts, backoff, pace
        self._opener = urllib.request.build_opener(_NoRedirection)
        self._lock = threading.Lock()
        self._failures = 0

    def ask(self, messages: Messages, settings: Mapping[str, Any]) -> Reply | NoReply:
        """Return the reply, or why there is none after all attempts.

        Args:
            messages: what to ask.
            settings: what the request has beside them: model, temperature, ...

        Raises:
            JudgeError: no server is there, it is none of this kind, or it failed too often in a row.
        """
        roles = (("system", messages.system), ("user", messages.user))
        conversation = [{"role": role, "content": text} for role, text in roles if text]
        body = json.dumps({**settings, "messages": conversation}).encode()
        try:
            reply = self._patiently(body)
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

    def _patiently(self, body: bytes) -> Reply | NoReply:
        for attempt in range(1, self.attempts + 1):
            self.pace.wait()
            try:
                return self._once(body)
            except _AttemptError as error:
                last = error
            if attempt < self.attempts:
                delay = self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                self.pace.sleep(min(max(delay, last.wait), LONGEST_WAIT))
        if last.unreachable:
            raise JudgeError(f"no server answers at {self.url}: {last} (judge.init_args.base_url)")
        return NoReply(f"{last} ({self.attempts} attempts)")

    def _once(self, body: bytes) -> Reply | NoReply:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            try:
                with self._opener.open(request, timeout=self.timeout) as response:
                    return self._read(self._text(response.read(LARGEST_BODY)), response.headers)
            except urllib.error.HTTPError as error:
                with error:
                    return self._refused(error.code, self._text(error.read(LARGEST_BODY)), error.headers)
        except TimeoutError:
            raise _AttemptError(f"no answer within {self.timeout:g} s") from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (http.client.HTTPException, OSError) as error:
            raise _AttemptError(f"the connection broke: {self._clean(repr(error))}") from None

    def _unreachable(self, reason: object) -> Exception:
        if isinstance(reason, TimeoutError):
            return _AttemptError(f"no connection within {self.timeout:g} s")
        if isinstance(reason, ssl.SSLError):
            return JudgeError(f"{self.url}: no secure connection: {reason} (judge.init_args.base_url)")
        broken = isinstance(reason, ConnectionError) and not isinstance(reason, ConnectionRefusedError)
        return _AttemptError(self._clean(str(reason)), unreachable=not broken)

    def _read(self, text: str, headers: email.message.Message) -> Reply:
        self._check_kind(text, headers)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise _AttemptError(f"what came is not whole JSON: {_excerpt(text)}") from None
        try:
            written = content["choices"][0]["message"]["content"]
            model = content.get("model")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise _AttemptError(f"what came is no chat completion: {_excerpt(text)}") from None
        if not isinstance(written, str | None):
            raise _AttemptError(f"what came is no chat completion: {_excerpt(text)}")
        return Reply(written or "", model if isinstance(model, str) else None)

    def _refused(self, status: int, text: str, headers: email.message.Message) -> NoReply:
        said = f"status {status}: {_excerpt(text)}"
        if status in (408, 425, 429) or status >= 500:
            raise _AttemptError(said, wait=_seconds(headers.get("Retry-After")))
        if 300 <= status < 400:
            where = self._clean(str(headers.get("Location")))
            raise JudgeError(f"{self.url} is elsewhere: {where}; give that address (judge.init_args.base_url)")
        self._check_kind(text, headers)
        if status in _NOT_HERE:
            raise JudgeError(f"the server at {self.url} {_NOT_HERE[status]}; it says {said}")
        return NoReply(said)

    def _check_kind(self, text: str, headers: email.message.Message) -> None:
        if headers.get_content_type() == "text/html" or text.lstrip()[:1] == "<":
            raise JudgeError(
                f"{self.url} answers with a web page (HTML), so it is no server of chat completions; an address ends "
                "with /v1 as a rule (judge.init_args.base_url)"
            )

    def _text(self, body: bytes) -> str:
        return self._clean(body.decode("utf-8", "replace"))

    def _clean(self, text: str) -> str:
        """Return what a server said without the key, which some repeat; a short one is a stand-in, and no secret."""
        return text.replace(self._key, "***") if len(self._key) >= 8 else text


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


def _excerpt(text: str) -> str:
    short = " ".join(text.split())
    return f"{short[:200]}..." if len(short) > 200 else short or "nothing"

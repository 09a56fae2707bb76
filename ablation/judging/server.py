"""A language model behind an OpenAI-compatible server as a judge: OpenAI's own, vLLM, Ollama, `transformers serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ablation.judging.judge import JudgeError, JudgeIdentity
from ablation.judging.pace import Pace
from ablation.judging.prompted import JudgePrompt, Messages, NoReply, PromptedJudge, Reply

OURS = ("model", "messages", "stream", "n")


class ServerJudge(PromptedJudge):
    """Asks a server.

    The address is no part of the judge's identity, since a server moves; what the server says that it is, is part of
    every judgement.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        api_key_variable: str | None = "OPENAI_API_KEY",
        prompt: str | None = None,
        revision: str = "",
        parameters: dict[str, Any] | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        timeout: float = 60.0,
        attempts: int = 6,
        backoff: float = 1.0,
        asks: int = 3,
    ) -> None:
        """Describe the server.

        Args:
            model: name of the model, as the server knows it; one with a date does not change.
            base_url: address, up to and with `/v1`.
            api_key_variable: name of the environment variable that has the API key; null for a server without keys.
            prompt: file of the text that is asked; default: those of this package.
            revision: which model this is, where its name does not say so.
            parameters: further fields of a request; default: temperature 0 and max_tokens 100.
            concurrency: requests at a time.
            requests_per_minute: limit; default: none.
            timeout: seconds that the server may be silent, and that the body of its answer may take; a whole request
                ends after twice as long.
            attempts: how often a request is made at most that the server fails.
            backoff: seconds before the second attempt; twice as long before each further one.
            asks: how often a question is asked at most whose reply cannot be read.

        Raises:
            ValueError: a value is out of range, the prompt cannot be read, or there is no API key.
            JudgeError: the package `openai` is not installed.
        """
        super().__init__(JudgePrompt(prompt), asks)
        numbers = {"concurrency": concurrency, "timeout": timeout, "attempts": attempts}
        for name, value in {**numbers, "requests_per_minute": requests_per_minute or 1}.items():
            if not value > 0:
                raise ValueError(f"judge.init_args.{name} is {value}; it must be positive")
        if not backoff >= 0:
            raise ValueError(f"judge.init_args.backoff is {backoff}; it must not be negative")
        self.parameters = {"temperature": 0, "max_tokens": 100} if parameters is None else parameters
        taken = [name for name in OURS if name in self.parameters]
        if taken:
            raise ValueError(f"judge.init_args.parameters has {', '.join(taken)}, which the judge itself decides")
        self.model, self.revision, self.concurrency = model, revision, concurrency
        self._pace = Pace(requests_per_minute)
        try:
            from ablation.judging.chat_server import ChatServer
        except ImportError as error:
            raise JudgeError(
                f"ServerJudge needs the package openai: pip install 'video-panda-lightning[openai]' ({error})"
            ) from error
        self._server = ChatServer(base_url, api_key_variable, timeout, attempts, backoff, self._pace)

    @property
    def identity(self) -> JudgeIdentity:
        """Name of the model, the user's word for its revision, and what it is asked."""
        settings = {"judge": type(self).__name__, "parameters": self.parameters}
        return JudgeIdentity.of(self.model, self.revision, self.prompt.text, settings)

    def replies(self, messages: Sequence[Messages]) -> list[Reply | NoReply]:
        """Ask one after the other."""
        return [self._server.ask(each, self.model, self.parameters) for each in messages]

    def stop(self) -> None:
        """Make no further attempt; a request under way comes to its end."""
        self._pace.stop()

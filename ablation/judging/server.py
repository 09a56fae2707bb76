"""A language model on an OpenAI-compatible server as a judge: OpenAI's own, vLLM, Ollama, `transformers serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ablation.judging.judge import JudgeError, JudgeIdentity
from ablation.judging.pace import Pace
from ablation.judging.prompted import JudgePrompt, Messages, NoReply, PromptedJudge, Reply

OURS = ("model", "messages", "stream", "n")


class ServerJudge(PromptedJudge):
    """A judge that prompts a model on a server, whose address is not part of its identity, since servers move.

    Every judgement has the name of the model according to the server.
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
        """Set up the client.

        Args:
            model: name of the model on the server; a name with a date does not change its meaning.
            base_url: address of the server, including `/v1`.
            api_key_variable: name of the environment variable with the API key; null for a server without keys.
            prompt: file with the prompt; default: the prompts of this package.
            revision: revision of the model, if its name does not include it.
            parameters: further fields of a request; default: temperature 0 and max_tokens 100.
            concurrency: maximum number of simultaneous requests.
            requests_per_minute: maximum number of requests per minute; default: no limit.
            timeout: maximum seconds without data from the server, and for the body of its answer; a whole request may
                take twice as long.
            attempts: maximum number of tries per request.
            backoff: seconds before the second try, doubled before each further one.
            asks: maximum number of times that a question is asked if replies cannot be read.

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
        reserved = [name for name in OURS if name in self.parameters]
        if reserved:
            raise ValueError(f"judge.init_args.parameters has {', '.join(reserved)}, which the judge itself decides")
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
        """Name of the model, its revision as given by the user, prompt and settings."""
        settings = {"judge": type(self).__name__, "parameters": self.parameters}
        return JudgeIdentity.of(self.model, self.revision, self.prompt.text, settings)

    def replies(self, messages: Sequence[Messages]) -> list[Reply | NoReply]:
        """Send one request after the other."""
        return [self._server.ask(conversation, self.model, self.parameters) for conversation in messages]

    def stop(self) -> None:
        """Make no further tries; a request in progress is completed."""
        self._pace.stop()

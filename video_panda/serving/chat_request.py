"""Requests in the form of OpenAI's chat completions: what is asked, about which clip, and how it is to be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

MOST_ROWS = 8  # answers to one request
LONGEST_TEXT = 2**20  # characters of a conversation, which are counted before they become tokens
_VIDEOS = ("video_url", "input_video", "video")  # of vLLM and SGLang, of OpenRouter, and of DashScope
_PICTURES = ("image_url", "input_image")
_KINDS = {401: "authentication_error", 429: "rate_limit_error"}


class RefusedError(ValueError):
    """A request that is not answered.

    Attributes:
        status: status of HTTP.
        param: field of the request that is to blame; None if it is none.
    """

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status

    def content(self) -> dict[str, dict[str, str | None]]:
        """Return the error as OpenAI writes it."""
        kind = "server_error" if self.status >= 500 else _KINDS.get(self.status, "invalid_request_error")
        code = "model_not_found" if self.param == "model" and self.status == 404 else None
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": code}}


class _Form(BaseModel):
    """Types as in JSON, and no other fields: one that had no effect would mislead."""

    model_config = ConfigDict(strict=True, extra="forbid")


class StreamOptions(_Form):
    """Settings of an answer in pieces."""

    include_usage: bool = False


class VideoReading(_Form):
    """How many frames of a video the client expects to be shown."""

    num_frames: int | None = None


class MediaReading(_Form):
    """How clips are read, a field of vLLM."""

    video: VideoReading | None = None


class TextFormat(_Form):
    """The only format of answers."""

    type: Literal["text"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Zero = Annotated[float, Field(ge=0, le=0)]
Stop = Annotated[str, Field(min_length=1)]


class ChatRequest(_Form):
    """The fields of a request; those from `media_io_kwargs` on may only ask for what is done anyway."""

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: Annotated[list[Stop], Field(max_length=4), BeforeValidator(_listed)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int | None = Field(None, ge=1, le=MOST_ROWS)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    media_io_kwargs: MediaReading | None = None
    user: Any = None
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logprobs: Literal[False] | None = None
    response_format: TextFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @classmethod
    def parse(cls, body: bytes, model: str) -> Self:
        """Return the request in a body.

        Raises:
            RefusedError: it is not such a request, has fields that are not supported, or is for another model.
        """
        try:
            request = cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            names = [str(name) for name in first["loc"]]
            if first["type"] == "extra_forbidden":
                raise RefusedError(f"{'.'.join(names)} is not supported by this server", names[0]) from None
            where = f"{'.'.join(names)}: " if names else ""
            raise RefusedError(f"{where}{first['msg']}", names[0] if names else None) from None
        if request.model != model:
            raise RefusedError(f"there is no model {request.model!r}; this server has {model!r}", "model", 404)
        if request.stream_options and not request.stream:
            raise RefusedError("stream_options belongs to a request with stream: true", "stream_options")
        if None not in (request.max_tokens, request.max_completion_tokens):
            raise RefusedError("max_tokens and max_completion_tokens are the same; give one of them", "max_tokens")
        return request

    @property
    def longest(self) -> int | None:
        """Maximum number of tokens of an answer; None for that of the model."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def frames(self) -> int | None:
        """Number of frames that the client expects to be shown; None for whatever the model is shown."""
        video = self.media_io_kwargs and self.media_io_kwargs.video
        return video.num_frames if video else None


@dataclass
class Conversation:
    """What a request asks.

    Attributes:
        question: last question.
        before: earlier questions and their answers.
        media: addresses of the clip: of a video, or of one or more pictures that are its frames.
        field: kind of the parts with these addresses.
    """

    question: str = ""
    before: list[tuple[str, str]] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    field: str = ""

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]]) -> Self:
        """Return the conversation in messages, whose clip is in the first.

        Raises:
            RefusedError: a message has another form than this model can take.
        """
        roles = [message.get("role") for message in messages]
        if systems := {"system", "developer"} & {role for role in roles if isinstance(role, str)}:
            raise RefusedError(
                f"a message has the role {min(systems)}; the system text belongs to the prompt that the model was "
                "trained with and cannot be changed by a request: put it into the question",
                "messages",
            )
        if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
            said = ", ".join(map(str, roles))
            raise RefusedError(f"the roles of messages must be user, assistant, ..., user, not {said}", "messages")
        asked = cls()
        texts = [asked._text(message, number) for number, message in enumerate(messages)]
        if sum(map(len, texts)) > LONGEST_TEXT:
            raise RefusedError(f"the conversation has more than {LONGEST_TEXT} characters", "messages")
        asked.question = texts[-1]
        asked.before = list(zip(texts[:-1:2], texts[1::2], strict=True))
        return asked

    def _text(self, message: Mapping[str, Any], number: int) -> str:
        """Return the text of a message, and keep its clip."""
        where = f"messages.{number}"
        _only(message, ("role", "content", "name"), where)
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise RefusedError(f"{where}.content must be text or a list of parts", "messages")
        texts: list[str] = []
        kinds: list[str | None] = []
        for place, part in enumerate(parts):
            here = f"{where}.content.{place}"
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in ("text", "input_text") and isinstance(part.get("text"), str):
                _only(part, ("type", "text"), here)
                texts.append(part["text"])
            elif kind in (*_VIDEOS, *_PICTURES) and number == 0:
                if self.field not in ("", kind) or (self.media and (kind in _VIDEOS or kinds[-1] != kind)):
                    raise RefusedError(
                        f"{here}: a conversation is about one video, or about pictures that follow each other as the "
                        "frames of one clip",
                        "messages",
                    )
                self.field = kind
                self.media += _addresses(part, here)
            elif kind in (*_VIDEOS, *_PICTURES):
                raise RefusedError(
                    f"{here}: the clip must be in the first message; its prompt has one there", "messages"
                )
            else:
                raise RefusedError(
                    f"{here}: a part must be text, or one of {', '.join(_VIDEOS + _PICTURES)}", "messages"
                )
            kinds.append(kind)
        text = "\n".join(texts)
        if not text.strip() and message["role"] == "user":
            raise RefusedError(f"{where} has no text; it must ask something", "messages")
        return text


def _only(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse fields without effect, but for empty ones, which clients copy from an answer."""
    if unknown := [name for name in given if name not in known and given[name] not in (None, [], {})]:
        raise RefusedError(f"{where}.{unknown[0]} is not supported by this server", "messages")


def _addresses(part: Mapping[str, Any], where: str) -> list[str]:
    """Return the address in a part, or the addresses of the frames in it."""
    keys = [key for key in part if key in (*_VIDEOS, *_PICTURES)]
    _only(part, ("type", "detail", *keys), where)
    value = part[keys[0]] if len(keys) == 1 else None
    if isinstance(value, dict):
        # `detail` asks for more or fewer tokens, of which we have one number.
        _only(value, ("url", "detail"), f"{where}.{keys[0]}")
        value = value.get("url")
    given = value if isinstance(value, list) else [value]
    addresses = [address for address in given if isinstance(address, str)]
    if not addresses or len(addresses) < len(given):
        raise RefusedError(
            f"{where} must have an address, such as video_url: {{url: data:video/mp4;base64,...}}", "messages"
        )
    return addresses

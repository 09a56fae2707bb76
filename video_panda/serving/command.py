"""`video-panda serve MODEL`: a model behind OpenAI's interface of chat completions, which many programs speak.

It answers /v1/chat/completions, /v1/models and /health. A key that clients must send is read from the environment
variable VIDEO_PANDA_API_KEY, since all users of a machine see the arguments of its programs.
"""

from __future__ import annotations

import errno
import hmac
import logging
import math
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

try:
    import uvicorn
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    from video_panda.serving.chat_request import RefusedError
    from video_panda.serving.completions import ChatService
except ImportError as error:
    raise ValueError(
        f"video-panda serve needs FastAPI and uvicorn: pip install 'video-panda-lightning[serve]' ({error})"
    ) from error

from datamodules.printable import say
from lightning_modules.config.user_errors import user_errors
from video_panda.model import AT_ONCE
from video_panda.options import ModelParser, load
from video_panda.serving.media import Media

KEY = "VIDEO_PANDA_API_KEY"
LONGEST_END = 10  # seconds that answers have to end in after Ctrl-C


def main(args: Sequence[str]) -> None:
    """Parse the command line, load the model, and serve it until Ctrl-C."""
    parser = ModelParser("serve", __doc__)
    parser.add_argument("--name", help="name of the model in requests (default: MODEL as written)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, 0 for a free one (default: 8000)")
    parser.add_argument("--media", type=Path, help="folder with clips that requests may name by file://")
    parser.add_argument("--batch", type=int, default=AT_ONCE, help="most answers per batch (default: %(default)s)")
    parser.add_argument("--queue", type=int, default=64, help="most requests at the same time (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one request (default: %(default)s)")
    parser.add_argument(
        "--max-upload", type=float, default=64, metavar="MB", help="largest request (default: %(default)s)"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=600, help="longest clip, in seconds (default: %(default)s)"
    )
    options = parser.parse_args(args)
    with user_errors():
        for name in ("batch", "queue", "timeout", "max_upload", "max_seconds"):
            if not 0 < (value := getattr(options, name)) < math.inf:
                raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be a positive number")
        media = Media(options.media, options.max_seconds)
        key = _key()
        with listening(options.host, options.port) as place, suppress(KeyboardInterrupt):
            panda = load(options)
            service = ChatService(
                panda, options.name or options.model, media, options.batch, options.queue, options.timeout,
                options.max_upload,
            )  # fmt: skip
            host, port = place.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
            closed = "" if key else f", without a key ({KEY})"
            say(f"{service.name} answers at {address}{closed}; Ctrl-C ends it")
            try:
                Server(service, key).run([place])
            finally:
                service.close()
        say("ended")


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; requests wait in it while the model is loaded.

    Raises:
        ValueError: the port is in use or may not be used, or the host is not an address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port {port} of {host} is in use; choose another with --port, or 0 for a free one"
            ) from None
        raise ValueError(f"--host {host} --port {port} cannot be listened at: {error}") from None


def _key() -> str | None:
    key = os.environ.get(KEY)
    if key is not None and not key.strip():
        raise ValueError(
            f"the environment variable {KEY} is empty; set it to a key, or unset it for a server without one"
        )
    return key and key.strip()


class Server(uvicorn.Server):
    """The HTTP server of a service; at Ctrl-C it ends the answers first, so that nobody waits for them."""

    def __init__(self, service: ChatService, key: str | None = None) -> None:
        """Set the service, and the key that clients must send; None for none."""
        config = uvicorn.Config(
            app(service, key), lifespan="off", ws="none", server_header=False, timeout_graceful_shutdown=LONGEST_END
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its access log is of use
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the answers, then the server."""
        self.service.answers.end_soon()
        super().handle_exit(sig, frame)


def app(service: ChatService, key: str | None) -> FastAPI:
    """Return the routes of a service.

    Args:
        service: what answers.
        key: key that clients must send; None for none.
    """
    routes = FastAPI(openapi_url=None)
    model = {"id": service.name, "object": "model", "created": service.began, "owned_by": "video-panda"}

    def check_key(request: Request) -> None:
        given = request.headers.get("Authorization", "")
        if key is not None and not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            raise RefusedError("the key is not that of this server", status=401)

    @routes.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        check_key(request)
        return await service.complete(request)

    @routes.get("/v1/models")
    async def models(request: Request) -> Response:
        check_key(request)
        return JSONResponse({"object": "list", "data": [model]})

    @routes.get("/v1/models/{name:path}")
    async def one_model(request: Request, name: str) -> Response:
        check_key(request)
        if name != service.name:
            raise RefusedError(f"there is no model {name!r}; this server has {service.name!r}", "model", 404)
        return JSONResponse(model)

    @routes.get("/health")
    async def health() -> Response:
        status = "ok" if service.answers.running else "ended"
        return JSONResponse({"status": status, "requests": service.admitted}, 200 if status == "ok" else 503)

    @routes.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        later = {"Retry-After": "1"} if error.status in (429, 503) else {}
        return JSONResponse(error.content(), error.status, later)

    @routes.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        refusal = RefusedError(f"{request.method} {request.url.path}: {error.detail}", status=error.status_code)
        return JSONResponse(refusal.content(), error.status_code)

    @routes.exception_handler(ClientDisconnect)
    async def left(*_: object) -> Response:
        return Response(status_code=499)  # which nobody reads

    return routes

"""`video-panda demo MODEL [MODEL_2]`: a page in the browser to ask a model about clips, or to compare two on one clip.

It shows the sampled frames and what the parts of a model attend to, beside a conversation. Only this machine reaches
it, unless `--host` says otherwise. Needs gradio: pip install 'video-panda-lightning[demo]'.
"""

from __future__ import annotations

import os
import signal
import socket
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from types import FrameType

from datamodules.printable import say
from lightning_modules.config.user_errors import user_errors
from video_panda.model import VideoPanda
from video_panda.options import ModelParser, load

LOOPBACK = "127.0.0.1"
WAITING = 20  # questions and clips that may wait for their turn; further ones are refused


def main(args: Sequence[str]) -> None:
    """Parse the command line, load the models, and serve the page until Ctrl-C."""
    parser = ModelParser("demo", __doc__)
    parser.add_argument("other", nargs="?", help="second model, to compare with the first on the same clips")
    parser.add_argument(
        "--host", default=LOOPBACK, help="address to serve at (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="port to serve at; 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--max-upload", type=int, default=200, metavar="MB", help="largest clip (default: %(default)s)")
    parser.add_argument("--timeout", type=int, default=60, help="seconds for an answer (default: %(default)s)")
    options = parser.parse_args(args)
    with user_errors():
        for name in ("max_upload", "timeout"):
            if (value := getattr(options, name)) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
        require_gradio()
        port = free_port(options.host, options.port)
        sources = [options.model, *([options.other] if options.other else [])]
        named = zip(names(sources), sources, strict=True)
        try:
            pandas = {name: load(Namespace(**vars(options) | {"model": source})) for name, source in named}
            with served(pandas, options.host, port, options.max_upload, options.timeout) as address:
                signal.signal(signal.SIGTERM, _interrupted)
                say(f"{' and '.join(pandas)} at {address}; Ctrl-C ends it")
                if options.host != LOOPBACK:
                    say("everybody who reaches this machine can use it, without a password")
                Event().wait()
        except KeyboardInterrupt:
            say("ended")


def _interrupted(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def names(sources: Sequence[str]) -> list[str]:
    """Return short names of models: the last two parts of each path.

    Raises:
        ValueError: it is twice the same model.
    """
    if len(set(sources)) < len(sources):
        raise ValueError(f"{sources[0]} cannot be compared with itself; name two models, or one")
    short = ["/".join(Path(source).absolute().parts[-2:]) for source in sources]
    return short if len(set(short)) == len(short) else list(sources)


def require_gradio() -> None:
    """Check that gradio is installed.

    Raises:
        ValueError: it is not.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before it is imported
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the demo needs gradio ({error}): pip install 'video-panda-lightning[demo]'") from None


@contextmanager
def served(pandas: Mapping[str, VideoPanda], host: str, port: int, max_upload: int, seconds: float) -> Iterator[str]:
    """Serve the page in other threads, and yield its address; uploads are deleted at the end.

    Args:
        pandas: one model or two, by their names.
        host: address to serve at.
        port: port to serve at.
        max_upload: size of the largest clip, in MB.
        seconds: time limit of an answer.

    Raises:
        ValueError: nothing can be served there.
    """
    with TemporaryDirectory(prefix="video_panda_demo_") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        from gradio.themes import Default

        from video_panda.demo.page import STYLE, page

        blocks = page(pandas, seconds).queue(max_size=WAITING)
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                max_file_size=f"{max_upload}mb",
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                inbrowser=False,
                show_error=False,
                enable_monitoring=False,
                run_history=False,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                footer_links=[],
                theme=Default(font="system-ui", font_mono="monospace"),  # fonts of Google would be fetched
                css=STYLE,
            )
        except OSError as error:
            raise ValueError(f"nothing can be served at {host}:{port}: {error}") from None
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def free_port(host: str, port: int) -> int:
    """Return the port, or one that is free for 0.

    Raises:
        ValueError: the port is in use or may not be used, or the host is not an address of this machine.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            found: int = free.getsockname()[1]
            return found
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise ValueError(f"--host {host} --port {port} cannot be served at: {reason}") from None

"""One attempt in a process of its own, so that a crash, a hang or a limit set for it ends nothing else."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from random import Random

from tqdm import tqdm  # type: ignore[import-untyped]

from lightning_modules.config.user_errors import user_error
from tests.campaign.kind import Attempt, Kind, Outcome, WrongError


def attempt(kind: Kind, random: Random, folder: Path) -> Attempt:
    """Damage an input and hand it to the product, in a child process that is killed when its time is up."""
    folder.mkdir(parents=True)
    what = kind.damage(random, folder)
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        _in_child(kind, random, folder, writing)
    os.close(writing)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    message, ended = _received(reading, kind.seconds)
    os.close(reading)
    if not ended:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it left behind
    if not ended:
        return Attempt(Outcome.HANG, f"{what}: nothing after {kind.seconds:g} s")
    if not message:
        return Attempt(Outcome.TRACEBACK, f"{what}: the process ended with status {status}")
    outcome, seen = pickle.loads(message)
    return Attempt(outcome, f"{what}: {seen}" if seen else what)


def _received(reading: int, seconds: float) -> tuple[bytes, bool]:
    """Return what the child has written, and whether it closed its end in time."""
    parts, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 1 << 16)
            if not part:
                return b"".join(parts), True
            parts.append(part)
    return b"", False


def _in_child(kind: Kind, random: Random, folder: Path, writing: int) -> None:
    """Run the attempt, write what it came to, and end the process without any clean-up of the parent's."""
    printed = io.StringIO()
    # tqdm's own is shared by all processes that are forked: one that is killed while it draws would lock it for good.
    tqdm.set_lock(threading.RLock())
    try:
        for name in ("lightning.pytorch", "lightning.fabric"):  # whose lines go where the parent's go, maybe to a file
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            outcome, seen = _judged(kind, random, folder, printed)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps((outcome, seen)))
    finally:
        os._exit(0)


def _judged(kind: Kind, random: Random, folder: Path, printed: io.StringIO) -> tuple[Outcome, str]:
    try:
        return kind.use(random, folder), ""
    except WrongError as error:
        return Outcome.WRONG, str(error)
    except SystemExit as end:
        text = printed.getvalue().strip()
        if end.code not in (1, 2) or "Traceback" in text:
            return Outcome.TRACEBACK, f"status {end.code}: {text[-600:]}"
        return _named(kind, folder, text[text.rfind("error:") :])  # a parser's has several lines
    except Exception as error:
        line = user_error(error)
        return _named(kind, folder, line) if line else (Outcome.TRACEBACK, traceback.format_exc()[-1500:])


def _named(kind: Kind, folder: Path, line: str) -> tuple[Outcome, str]:
    if any(word in line for word in (folder.name, *kind.names())):
        return Outcome.NAMED, line
    return Outcome.TRACEBACK, f"the error names nothing: {line}"

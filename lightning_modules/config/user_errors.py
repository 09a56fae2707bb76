"""What a user did wrong is said in one line; only our own mistakes print a stack of frames.

In this project a ValueError raised by our own packages means: the user's value, file or data. An OSError about a file
is the user's or the machine's too, and a CommandLineError is what the parser of an experiment refuses. Everything else
is a bug and keeps its traceback.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from datamodules.printable import STANDARD_OUTPUT, PrintableRecord, printable, say
from datamodules.processes import raised_by_us

_FULL = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "the disk quota is used up"}
# The system names no file with these, and yet they are no bug of ours.
_OF_FILES = (*_FULL, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EFBIG, errno.EIO)
_WITHOUT_A_FILE = (*_OF_FILES, errno.ENOMEM, errno.EAGAIN)  # the last two: no further process


class ProgramParser(argparse.ArgumentParser):
    """A parser whose message steers no terminal, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        """Print how the program is used and what is wrong, and exit with status 2."""
        super().error(printable(message))


class CommandLineError(argparse.ArgumentError):
    """Words of a command line, or what its config files set, that the parser of an experiment refuses: status 2.

    Attributes:
        program: whose --help tells what it takes.
    """

    def __init__(self, message: str, program: str) -> None:
        """Take what is wrong, in one line or several."""
        super().__init__(None, message)
        self.program = program


def user_error(error: BaseException | None) -> str | None:
    """Return the one line to print, if `error` or what caused it is a user's error, or the system's about a file.

    Causes count because the parser wraps what a constructor raises.
    """
    while error is not None:
        line = _system_error(error) if isinstance(error, OSError) else None
        if line is not None:
            return line
        if isinstance(error, CommandLineError) or (isinstance(error, ValueError) and raised_by_us(error)):
            return str(error)
        error = error.__cause__
    return None


def _system_error(error: OSError) -> str | None:
    """Return the line for what the system refuses; None without a file that it is about, unless that is no bug."""
    target = error.filename2 or error.filename  # a failed copy names its source first
    if error.errno is None or (not target and error.errno not in _WITHOUT_A_FILE):
        return None
    name = os.fsdecode(target) if isinstance(target, str | bytes) else target
    if error.errno in _FULL:
        return f"{_FULL[error.errno]}{f' for {name}' if name else ''}"
    reason = os.strerror(error.errno)
    return f"{name}: {reason}" if name else reason[:1].lower() + reason[1:]


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Name the folder in errors of a full disk and the like, which the system gives no name and libraries pass on.

    Raises:
        OSError: with a name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            say(end="")  # it may be about what was printed; then this says so
            if error.errno in _OF_FILES:
                error.filename = str(folder)
        raise


@contextmanager
def errors_of_threads() -> Iterator[None]:
    """Raise at the end what the system refused to a thread, such as TensorBoard's, which writes while others work.

    Python would print it with its stack of frames, and the program would end well.

    Raises:
        OSError: the first one, if nothing else is raised.
    """
    refused: list[OSError] = []
    usual = threading.excepthook

    def keep(thread: threading.ExceptHookArgs) -> None:
        if isinstance(thread.exc_value, OSError) and _system_error(thread.exc_value):
            refused.append(thread.exc_value)
        else:
            usual(thread)

    threading.excepthook = keep
    try:
        yield
    finally:
        threading.excepthook = usual
    if refused:
        raise refused[0]


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's error as one line and exit with status 1 or 2; `VIDEO_PANDA_TRACEBACK=1` shows where it arose.

    Where nobody reads the output any more, as before `| head`, the program ends without a word, as if by SIGPIPE.
    Meanwhile, logs and warnings are printable.
    """
    try:
        with _printable_logs(), _output_written():
            yield
    except Exception as error:
        broken = _broken_output(error)
        if isinstance(broken, BrokenPipeError):
            sys.exit(128 + signal.SIGPIPE)
        line = user_error(broken or error)
        if line is None or os.environ.get("VIDEO_PANDA_TRACEBACK"):
            raise
        if isinstance(error, CommandLineError):
            say(f"tip: For details of accepted options run: {error.program} --help", file=sys.stderr)
        say(f"error: {line}", file=sys.stderr)
        sys.exit(2 if isinstance(error, CommandLineError) else 1)


@contextmanager
def _printable_logs() -> Iterator[None]:
    record, formatted = logging.getLogRecordFactory(), warnings.formatwarning

    def printable_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return printable(formatted(message, category, filename, lineno, line))

    logging.setLogRecordFactory(PrintableRecord)
    warnings.formatwarning = printable_warning
    try:
        yield
    finally:
        logging.setLogRecordFactory(record)
        warnings.formatwarning = formatted


@contextmanager
def _output_written() -> Iterator[None]:
    """Write at the end what others have printed, such as `--help`: Python does it when errors are no longer heard."""
    try:
        yield
    except SystemExit:
        say(end="")
        raise
    say(end="")


def _broken_output(error: Exception) -> OSError | None:
    """Return why standard output cannot be written, if that is what an error is about; the rest of it is dropped."""
    if isinstance(error, OSError) and error.filename is None:  # of a library that prints
        try:
            say(end="")
        except OSError as found:
            error = found
    if not isinstance(error, OSError) or error.filename != STANDARD_OUTPUT:
        return None
    with suppress(OSError):  # what stands for it has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error

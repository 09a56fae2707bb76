"""Errors of the user are printed in one line; only bugs of ours print a traceback.

A ValueError that our own packages raise is about the user's value, file or data, an OSError with a file about the
user's file or machine, and a CommandLineError about arguments or settings. Everything else is a bug.
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
# Errors that are not bugs of ours although the system names no file.
_OF_FILES = (*_FULL, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EFBIG, errno.EIO)
_WITHOUT_A_FILE = (*_OF_FILES, errno.ENOMEM, errno.EAGAIN)  # the last two: no further process


class ProgramParser(argparse.ArgumentParser):
    """An argument parser whose messages contain no control characters, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        """Print the usage of the program and the message, and exit with status 2."""
        super().error(printable(message))


class CommandLineError(argparse.ArgumentError):
    """An argument or a setting of a config file that the parser of an experiment refuses; exit status 2.

    Attributes:
        program: command whose `--help` lists the options.
    """

    def __init__(self, message: str, program: str) -> None:
        """Store the message, of one line or several, and the command."""
        super().__init__(None, message)
        self.program = program


def user_error(error: BaseException | None) -> str | None:
    """Return the line to print if `error` or one of its causes is an error of the user or of the file system.

    Causes are included because the parser wraps the errors of constructors.
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
    """Return the line for a system error; None for one without a file that may be a bug."""
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
    """Add the folder to errors such as a full disk that name no file.

    Raises:
        OSError: the error, with a file name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            say(end="")  # the error may be about standard output; then this raises one that names it
            if error.errno in _OF_FILES:
                error.filename = str(folder)
        raise


@contextmanager
def errors_of_threads() -> Iterator[None]:
    """Raise at the end the first system error of another thread, such as TensorBoard's writer.

    Python would only print its traceback, and the program would succeed.

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
    """Print a user's error as one line and exit with status 1 or 2; `VIDEO_PANDA_TRACEBACK=1` shows its traceback.

    If nobody reads the output any more, as before `| head`, the program ends silently, as if by SIGPIPE. Within, logs
    and warnings are printable.
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
    """Flush the output at the end, also that of `--help`: when Python does it, errors are no longer handled."""
    try:
        yield
    except SystemExit:
        say(end="")
        raise
    say(end="")


def _broken_output(error: Exception) -> OSError | None:
    """Return the system error if an error is about standard output, which is then discarded; otherwise None."""
    if isinstance(error, OSError) and error.filename is None:  # from a library that prints
        try:
            say(end="")
        except OSError as output_error:
            error = output_error
    if not isinstance(error, OSError) or error.filename != STANDARD_OUTPUT:
        return None
    with suppress(OSError):  # a replacement of standard output may have no file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error

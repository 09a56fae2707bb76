"""Lock files, so that two runs or sweeps neither share a folder nor run the same job."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path

_BETWEEN_TRIES = 0.2  # seconds


class NoLocksError(ValueError):
    """A file system without locks."""


class Lock:
    """A lock file that one process at a time holds; the system releases it when the process ends, however it ends.

    Child processes that inherit `descriptor` hold it too, so it stays held while a run of a killed sweep is still
    ending. (`filelock` does not expose its descriptor, and cannot tell whether a file is held without taking it.)
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and create it and its folder if necessary.

        Raises:
            ValueError: the file cannot be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}; --runs says where runs go") from error

    def take(self, patience: float = 0.0) -> bool:
        """Take the lock and write process and machine into the file; return False if another process holds it.

        Args:
            patience: seconds to wait for the other process.

        Raises:
            NoLocksError: the file system has no locks.
            ValueError: the file cannot be written, as on a full disk.
        """
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_BETWEEN_TRIES)
            except OSError as error:
                raise NoLocksError(
                    f"{self.path} cannot be locked: {error.strerror}; --runs says where runs go"
                ) from error
            else:
                self._note_holder()
                return True

    def _note_holder(self) -> None:
        try:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{os.getpid()} {socket.gethostname()}".encode(), 0)
        except OSError as error:
            self.release()
            raise ValueError(f"{self.path} cannot be written: {error.strerror}; --runs says where runs go") from error

    def is_held(self) -> bool:
        """Whether another process holds it now; False on a file system without locks."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return False

    def is_in_place(self) -> bool:
        """Whether `path` is still this file: another process may have removed it in the meantime."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> tuple[int, str]:
        """Return id and machine of the process that took it last; 0 and an empty string if they are not known."""
        process, _, host = os.pread(self.descriptor, 256, 0).decode(errors="replace").partition(" ")
        return (int(process), host) if process.isdecimal() else (0, "")

    def holder_is_gone(self) -> bool:
        """Whether the process that took it was on this machine and has ended, so that only its children hold it."""
        process, host = self.holder()
        if host != socket.gethostname():
            return False
        try:
            os.kill(process, 0)  # sends no signal, and fails if there is no such process
        except ProcessLookupError:
            return True
        except PermissionError:  # the process of another user
            pass
        return False

    def release(self) -> None:
        """Release the lock; children that inherited it still hold it."""
        os.close(self.descriptor)

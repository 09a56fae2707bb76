"""A file that one process at a time holds: two runs or sweeps neither share a folder nor train the same."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path

_BETWEEN_TRIES = 0.2  # seconds


class NoLocksError(ValueError):
    """A file system that has no locks."""


class Lock:
    """A locked file, let go by the system when its process ends, however it ends.

    Children that are given `descriptor` hold it too. So it stays held while a run of a killed sweep is still ending.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; its folder is made.

        Raises:
            ValueError: it cannot be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}; --runs says where runs go") from error

    def take(self, patience: float = 0.0) -> bool:
        """Hold the file, and note in it who does; False if another has it and does not let go.

        Args:
            patience: seconds to wait for the other.

        Raises:
            NoLocksError: the file system has no locks.
            ValueError: it cannot be written, as on a full disk.
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
        """Whether another has it now; nothing is known of that where the file system has no locks."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return False

    def is_in_place(self) -> bool:
        """Whether the file is still there by its name, and not one that another has removed meanwhile."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> tuple[int, str]:
        """Return process and machine of who took it last; 0 and nothing if that was not written down."""
        process, _, host = os.pread(self.descriptor, 256, 0).decode(errors="replace").partition(" ")
        return (int(process), host) if process.isdecimal() else (0, "")

    def holder_is_gone(self) -> bool:
        """Whether who took it ran on this machine and does no longer: only its children are left."""
        process, host = self.holder()
        if host != socket.gethostname():
            return False
        try:
            os.kill(process, 0)  # sends nothing
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's
            pass
        return False

    def release(self) -> None:
        """Let go; children that hold it go on to."""
        os.close(self.descriptor)

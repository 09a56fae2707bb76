"""What happened to the jobs of a sweep: JSON lines that are only appended to."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class UnwritableError(ValueError):
    """A file of the sweep itself that cannot be written, upon which no job can go on."""

    def __init__(self, path: Path, error: OSError) -> None:
        """Say which file, why, and how to go on."""
        super().__init__(
            f"{path} cannot be written: {error.strerror}; what is trained so far is kept, and the same command goes on "
            "from there"
        )


class Journal:
    """`jobs.jsonl` in a sweep's folder. The tasks of a cluster write one each, and all are read.

    It says what was begun and how it ended. Whether a job is finished is decided by its run folder alone.
    """

    def __init__(self, folder: Path, task: str = "") -> None:
        """Name the file.

        Args:
            folder: of the sweep.
            task: of the cluster; empty for the sweep itself.
        """
        self.folder = folder
        self.path = folder / (f"jobs.{task}.jsonl" if task else "jobs.jsonl")

    def open(self) -> None:
        """Make the folder, and cut off a last line that was not written to its end.

        Raises:
            UnwritableError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)
        except OSError as error:
            raise UnwritableError(self.path, error) from error

    def append(self, job: str, event: str, **facts: Any) -> None:
        """Note what happened to a job.

        Raises:
            UnwritableError: it cannot be written, as on a full disk.
        """
        row = {"job": job, "event": event, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, default=str) + "\n")
        except OSError as error:
            raise UnwritableError(self.path, error) from error

    def events(self) -> list[Event]:
        """Return what happened so far, in its order, without a line that is being written.

        Raises:
            ValueError: another line is no event.
        """
        events = [event for path in sorted(self.folder.glob("jobs*.jsonl")) for event in _events(path)]
        return sorted(events, key=lambda event: str(event.get("at")))

    def begun(self, job: str) -> Path | None:
        """Return the run folder in which this sweep began a job and did not finish it, if there is one."""
        folders = [event for event in self.events() if event["job"] == job and "folder" in event]
        return Path(folders[-1]["folder"]) if folders and folders[-1]["event"] != "finished" else None


def _events(path: Path) -> list[Event]:
    events = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line)
            wrong = [key for key in ("job", "event") if not isinstance(event[key], str)]
            wrong += [key for key in ("folder",) if not isinstance(event.get(key, ""), str)]
            if wrong:
                raise ValueError(f"`{wrong[0]}` is {event[wrong[0]]!r:.60}, which is no text")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} is no event of a sweep: {error!r}") from None
        events.append(event)
    return events

"""The file of a check: one JSON line per clip, appended as clips are checked, and a header line at the end.

    {"clips": 2, "sha256": "..."}
    {"path": "a.mp4", "bytes": 265099, ..., "verdict": "ok", "reasons": {}, "checksum": "..."}
    {"path": "b.mp4", ...}

The hash covers all names and contents, so equal data have equal hashes wherever they are and whenever they were copied.
The checksum of a line covers all its facts: a line that was edited, or written by a version with other facts, is not
used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from components.files import open_regular, whole_file
from datamodules.checking.verdict import Judged
from datamodules.records.json_items import keys_once
from datamodules.video.clip_facts import ClipFacts

FACTS = {field.name for field in fields(ClipFacts)}


class ManifestError(ValueError):
    """A manifest that cannot be used or describes other data."""


@dataclass(frozen=True)
class Contents:
    """The contents of a manifest.

    Attributes:
        header: first line; None if the check was not finished.
        clips: facts by path; the last line about a clip counts.
        edited: clips whose line was edited or is of an earlier version; they are not in `clips`.
        broken: number of bytes of an incomplete last line.
    """

    header: dict[str, Any] | None
    clips: dict[str, ClipFacts]
    edited: list[str]
    broken: int = 0


def read_manifest(file: Path) -> Contents:
    """Read a manifest, finished or not.

    Raises:
        ManifestError: the file cannot be read, or one of its complete lines is not a line of a manifest.
    """
    header: dict[str, Any] | None = None
    clips: dict[str, ClipFacts] = {}
    edited: list[str] = []
    try:
        with open_regular(file) as manifest:
            lines = manifest.read().split(b"\n")
    except OSError as error:
        raise ManifestError(f"manifest {file}: cannot be read: {error.strerror}") from error
    unfinished = lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line, object_pairs_hook=keys_once)
            if number == 1 and "clips" in content:
                header = content
            else:
                facts = ClipFacts(**{name: value for name, value in content.items() if name in FACTS})
                if content.get("checksum") == _checksum(facts):
                    clips[facts.path] = facts
                else:
                    edited.append(facts.path)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ManifestError(
                f"manifest {file}, line {number}: is not a line that check-data writes; delete the file to check anew"
            ) from error
    return Contents(header, clips, edited, len(unfinished))


def append(file: Path, judged: Iterable[Judged], done: Callable[[Judged], None]) -> None:
    """Append each clip at once and call `done` with it, so that a killed check loses no finished clip."""
    try:
        with file.open("a", encoding="utf-8") as lines:
            for clip in judged:
                lines.write(_line(clip) + "\n")
                lines.flush()
                done(clip)
    except OSError as error:
        error.filename = error.filename or str(file)  # the error of a full disk does not name the file
        raise


def finish(file: Path, judged: Iterable[Judged]) -> str:
    """Rewrite the manifest with a header line and sorted clips; return the hash of the data.

    Raises:
        OSError: the file cannot be written; see `whole_file`.
    """
    clips = sorted(judged, key=lambda clip: clip.facts.path)
    digest = data_hash(clip.facts for clip in clips)
    header = json.dumps({"clips": len(clips), "sha256": digest})
    with whole_file(file) as unfinished, unfinished.open("w", encoding="utf-8") as lines:
        lines.writelines(line + "\n" for line in (header, *map(_line, clips)))
    return digest


def without_broken_line(file: Path, broken: int) -> None:
    """Cut off the `broken` bytes of an incomplete last line."""
    os.truncate(file, file.stat().st_size - broken)


def data_hash(clips: Iterable[ClipFacts]) -> str:
    """Return one hash of the names and contents of clips, in this order."""
    digest = hashlib.sha256()
    for facts in clips:
        digest.update(f"{facts.path}\0{facts.bytes}\0{facts.sha256}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _line(clip: Judged) -> str:
    judged = {"verdict": clip.verdict, "reasons": dict(clip.reasons), "checksum": _checksum(clip.facts)}
    return json.dumps(asdict(clip.facts) | judged)


def _checksum(facts: ClipFacts) -> str:
    return hashlib.sha256(json.dumps(asdict(facts), sort_keys=True).encode()).hexdigest()[:16]

"""Checks many clips in several processes and resumes a check that was stopped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]

from datamodules.checking.examine import examine
from datamodules.checking.manifest import append, finish, read_manifest, without_broken_line
from datamodules.checking.verdict import Judged, judge
from datamodules.processes import results_of_processes
from datamodules.video.clip_facts import ClipFacts

log = logging.getLogger(__name__)

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        clips: verdicts by path.
        unchanged: number of clips whose result comes from an earlier check.
        sha256: hash of all names and contents.
        manifest: path of the manifest.
    """

    clips: Mapping[str, Judged]
    unchanged: int
    sha256: str
    manifest: Path


def check(clips: Mapping[str, Path], folder: Path, wanted: int, processes: int) -> Checked:
    """Check every clip that is not in the manifest yet or has changed since, and write the manifest.

    Args:
        clips: files by their path below the media root.
        folder: folder of the manifest.
        wanted: number of frames that the sampler takes of a long clip.
        processes: number of processes that check clips.

    Raises:
        ManifestError: the existing file is not a manifest.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    unchanged = {name: judge(facts, wanted) for name, facts in _unchanged(manifest, clips).items()}
    judged = dict(unchanged)
    todo = [(file, name) for name, file in clips.items() if name not in unchanged]
    with tqdm(total=len(clips), initial=len(unchanged), desc="clips", unit="clip", file=sys.stderr) as bar:

        def done(clip: Judged) -> None:
            judged[clip.facts.path] = clip
            bar.update()

        with closing(_examined(todo, wanted, processes)) as new:
            append(manifest, new, done)
    return Checked(judged, len(unchanged), finish(manifest, judged.values()), manifest)


def _unchanged(manifest: Path, clips: Mapping[str, Path]) -> dict[str, ClipFacts]:
    """Return the facts from an earlier check about files that have not changed since."""
    if not manifest.is_file():
        return {}
    contents = read_manifest(manifest)
    if contents.broken:
        log.warning("%s: its last line is broken off, as by a killed check; left out", manifest)
        without_broken_line(manifest, contents.broken)
    if contents.edited:
        log.warning(
            "%s: %d of its lines, first that of %s, were edited or are of an earlier version; these clips are looked at"
            " again",
            manifest,
            len(contents.edited),
            contents.edited[0],
        )
    earlier = {name: contents.clips[name] for name in clips if name in contents.clips}
    return {name: facts for name, facts in earlier.items() if facts.unchanged(clips[name])}


def _examined(todo: list[tuple[Path, str]], wanted: int, processes: int) -> Generator[Judged]:
    for (file, name), facts in results_of_processes(examine, todo, min(processes, len(todo))):
        yield judge(facts or _crashed(file, name), wanted)


def _crashed(file: Path, name: str) -> ClipFacts:
    status = file.stat()
    return ClipFacts(name, status.st_size, status.st_mtime_ns, error="the process that decoded it crashed")

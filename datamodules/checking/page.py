"""The page of a check: one HTML file that needs nothing else, with pictures of the clips to look at."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.whole_file import write_whole
from datamodules.checking.pictures import thumbnails
from datamodules.checking.report import Report
from datamodules.checking.verdict import REASONS, Judged, Verdict
from datamodules.printable import printable
from datamodules.processes import results_of_processes

SHOWN_PER_REASON = 24  # clips with pictures; the manifest has them all
LISTED = 500  # lines of any list


@dataclass(frozen=True)
class Card:
    """A clip to look at.

    Attributes:
        clip: what was found.
        pictures: as addresses that hold the picture itself.
    """

    clip: Judged
    pictures: Sequence[str]


@dataclass(frozen=True)
class Group:
    """Clips with one reason in common, some of which are shown."""

    reason: str
    meaning: str
    clips: Sequence[Judged]
    cards: Sequence[Card]


def write_page(report: Report, file: Path, processes: int) -> Path:
    """Write the page, and return its file.

    Args:
        report: what to show.
        file: where to.
        processes: how many make pictures at a time.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(
        report=report, groups=_groups(report, processes), meanings=REASONS, listed=LISTED, Verdict=Verdict
    )
    write_whole(file, printable(page))
    return file


def _groups(report: Report, processes: int) -> list[Group]:
    """Return the damaged clips, and then the suspicious ones, by reason; a clip is in the group of its first."""
    by_reason: dict[str, list[Judged]] = {}
    for clip in report.judged:
        if clip.verdict in (Verdict.DAMAGED, Verdict.SUSPICIOUS):
            by_reason.setdefault(next(iter(clip.reasons)), []).append(clip)
    shown = {reason: clips[:SHOWN_PER_REASON] for reason, clips in by_reason.items()}
    pictures = _pictures(report, [clip for clips in shown.values() for clip in clips], processes)
    return [
        Group(reason, REASONS[reason], clips, [Card(clip, pictures[clip.facts.path]) for clip in shown[reason]])
        for reason, clips in by_reason.items()
    ]


def _pictures(report: Report, clips: Sequence[Judged], processes: int) -> dict[str, list[str]]:
    files = report.clips.distinct()
    asked = [(files[clip.facts.path], clip.facts.frames) for clip in clips]
    made = dict(results_of_processes(thumbnails, asked, min(processes, len(asked))))
    return {
        clip.facts.path: [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in made[request] or ()]
        for clip, request in zip(clips, asked, strict=True)
    }

"""The page of a check: one self-contained HTML file with pictures of the clips to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from components.files import write_whole
from datamodules.checking.report import Report
from datamodules.checking.verdict import REASONS, Judged, Verdict
from datamodules.printable import printable
from datamodules.processes import results_of_processes
from datamodules.video.container import Container
from datamodules.video.display import Orientation, square_pixels
from datamodules.video.image_reader import open_image
from datamodules.video.reader import VideoError
from datamodules.video.sampling import spread

SHOWN_PER_REASON = 24  # number of clips with pictures; the manifest has all clips
LISTED = 500  # number of lines of any list
HEIGHT = 108
WIDEST = 240
PICTURES = 4


@dataclass(frozen=True)
class Card:
    """A clip with pictures.

    Attributes:
        clip: clip with its verdict.
        pictures: pictures as data URLs.
    """

    clip: Judged
    pictures: Sequence[str]


@dataclass(frozen=True)
class Group:
    """Clips with the same first reason, some of which are shown with pictures."""

    reason: str
    meaning: str
    clips: Sequence[Judged]
    cards: Sequence[Card]


def write_page(report: Report, file: Path, processes: int) -> Path:
    """Write the page and return its path.

    Args:
        report: report to show.
        file: path of the page.
        processes: number of processes that make pictures.
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
    """Return the damaged clips, and then the suspicious ones, grouped by their first reason."""
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
    requests = [(files[clip.facts.path], clip.facts.frames) for clip in clips]
    jpegs = dict(results_of_processes(thumbnails, requests, min(processes, len(requests))))
    return {
        clip.facts.path: [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in jpegs[request] or ()]
        for clip, request in zip(clips, requests, strict=True)
    }


def thumbnails(clip: tuple[Path, int]) -> list[bytes]:
    """Return JPEG pictures spread over a clip; fewer if it is damaged.

    Args:
        clip: file of the clip, and its number of frames, at least 1.
    """
    path, frames = clip
    places = set(spread(frames, min(PICTURES, frames)))
    pictures: list[bytes] = []
    try:
        image = open_image(path)
        if image is not None:
            return [_jpeg(image.frames([0])[0])]
        container = Container(path)
    except VideoError:
        return pictures
    try:
        for number, frame in enumerate(container.frames()):
            if number in places:
                size = square_pixels(frame.width, frame.height, container.pixel_aspect)
                picture = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                pictures.append(_jpeg(Orientation.of(frame, path)(picture)))
                if len(pictures) == len(places):
                    break
    except (av.FFmpegError, VideoError):
        pass  # damaged: the pictures before the damage are used
    finally:
        container.close()
    return pictures


def _jpeg(picture: np.ndarray) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((WIDEST, HEIGHT))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=72)
    return file.getvalue()

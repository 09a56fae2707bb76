"""The facts about a clip that has been decoded completely: one line of a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """The facts about one file; those that could not be determined because of an error keep their defaults.

    Attributes:
        path: path below the media root with `/` between folders; absolute for a file outside it.
        bytes: size of the file in bytes.
        modified_ns: time of the last change, in nanoseconds since 1970.
        sha256: SHA-256 of the content.
        container: FFmpeg's names of the container format.
        codec: FFmpeg's name of the codec.
        width: displayed width in pixels.
        height: displayed height in pixels.
        rotation: degrees by which a player turns the coded picture, counter-clockwise.
        mirrored: whether a player exchanges left and right after turning.
        pixel_aspect: displayed width of a coded pixel relative to its height.
        header_frames: number of frames in the header; 0 if the header has none.
        frames: number of frames that can be decoded.
        fps: frames per second from the header, or else from the frame times.
        duration: duration in the header, in seconds; 0 if the header has none.
        seconds: time from the beginning of the first frame to the end of the last, in seconds.
        uneven: whether the steps between frames differ (variable frame rate).
        drift: largest distance of a frame from its position at even steps, as a share of `seconds`.
        brightness: mean grey level of the brightest of a few sampled frames, 0 to 255.
        contrast: largest standard deviation of the grey levels within a sampled frame.
        change: largest mean difference in grey level between consecutive sampled frames.
        reader: decoder with exact frames: `pillow` for a picture, `decord` for a long clip with exact seeking, else
            `pyav`.
        reader_reason: reason for that choice.
        damage: description of the damage with counts; empty for a whole file.
        error: reason why no frame can be read; empty if frames can be read.
    """

    path: str
    bytes: int
    modified_ns: int
    sha256: str = ""
    container: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    rotation: int = 0
    mirrored: bool = False
    pixel_aspect: float = 1.0
    header_frames: int = 0
    frames: int = 0
    fps: float = 0.0
    duration: float = 0.0
    seconds: float = 0.0
    uneven: bool = False
    drift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    change: float = 0.0
    reader: str = ""
    reader_reason: str = ""
    damage: str = ""
    error: str = ""

    def unchanged(self, file: Path) -> bool:
        """Tell whether a file still has the recorded size and time of change."""
        try:
            status = file.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.modified_ns)

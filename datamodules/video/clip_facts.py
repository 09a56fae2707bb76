"""What is known of a clip once all of it has been decoded: one line of a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What was found in one file; what was not reached before an error keeps its default.

    Attributes:
        path: below the media root, with `/` between folders; absolute if it lies elsewhere.
        bytes: size of the file.
        modified_ns: when it was last written, in nanoseconds since 1970.
        sha256: of its content.
        container: FFmpeg's names of the container.
        codec: FFmpeg's name of the coding.
        width: of the picture as displayed, in pixels.
        height: of the picture as displayed, in pixels.
        rotation: degrees by which a player turns the coded picture, counter-clockwise.
        mirrored: a player exchanges left and right after that.
        pixel_aspect: width of a coded pixel for a height of 1, as displayed.
        header_frames: how many frames the header counts; 0 where it does not say.
        frames: how many frames can be decoded.
        fps: frames per second as the header says, or else as the frames' times do.
        duration: seconds that the header promises; 0 where it does not say.
        seconds: from the beginning of the first frame to the end of the last.
        uneven: the steps from frame to frame differ (variable frame rate).
        drift: how far a frame is from where it would be if steps were even, at most; as a share of `seconds`.
        brightness: mean grey level of the brightest of some frames spread over the clip, 0 to 255.
        contrast: standard deviation of the grey levels within one of these, at most.
        change: mean difference in grey level from one of these to the next, at most.
        reader: decoder whose frames are exact: `pillow` for a picture, `decord` for a long clip in which seeking is,
            else `pyav`.
        reader_reason: why not the other one.
        damage: what is damaged, with the counts; empty if nothing is.
        error: why no frame can be read; empty if they can.
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
        """Tell whether a file has the size and the time of change that were noted."""
        try:
            status = file.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.modified_ns)

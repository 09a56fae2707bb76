"""Damaged videos: how damage is recognised, and what to do with a video that can be decoded only in part."""

from __future__ import annotations

import enum
import logging

from datamodules.video.container import Container
from datamodules.video.reader import DamagedVideoError

log = logging.getLogger(__name__)


class DamagedVideo(enum.Enum):
    """What to do with damaged videos; chosen in YAML."""

    REFUSE = "raise an error with the counts"
    KEEP_DECODABLE = "use the frames that exist, with their true count, and log a warning"

    def handle(self, error: DamagedVideoError) -> None:
        """Raise `error`, or log it as a warning.

        Raises:
            DamagedVideoError: under `REFUSE`.
        """
        if self is DamagedVideo.REFUSE:
            raise error
        log.warning("%s; going on with the %d frames that can be decoded", error, error.decodable)


def expected_frames(container: Container) -> int:
    """Return the number of shown frames according to the header; 0 if it has no count (Matroska, WebM).

    The count in a header includes frames that an edit list hides, the duration does not. AVI has no edit lists, and for
    a cut-off AVI FFmpeg guesses a shorter duration from the file size, so its count is used.
    """
    if container.format == "avi":
        return container.header_frames
    shown = round(container.duration * container.fps)
    return min(container.header_frames, shown) if shown else container.header_frames


def incomplete(count: int, expected: int) -> bool:
    """Tell whether frames are missing; headers may be off by one frame or by 2 %."""
    return expected - count > max(1.0, 0.02 * expected)


def ends_early(seconds: float, promised: float) -> bool:
    """Tell whether frames end long before the duration in the header; a sound track may be slightly longer."""
    return promised > seconds + max(1.0, 0.1 * seconds)


def warn_if_cut_off(container: Container, count: int, seconds: float) -> None:
    """Log a warning if `count` frames end long before the duration in the header.

    This is no error: the frames are right, and the duration may be that of a longer sound track.
    """
    if ends_early(seconds, container.duration):
        log.warning(
            "%s: its %d frames end after %.2f s, but its header promises %.2f s; it may be cut off",
            container.path,
            count,
            seconds,
            container.duration,
        )

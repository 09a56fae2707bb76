"""What to do with a video of which only a part can be decoded."""

from __future__ import annotations

import enum
import logging

from datamodules.video.container import Container
from datamodules.video.reader import DamagedVideoError

log = logging.getLogger(__name__)


class DamagedVideo(enum.Enum):
    """The choice a user has in YAML for damaged videos."""

    REFUSE = "raise an error with the counts"
    KEEP_DECODABLE = "use the frames that exist, with their true count, and log a warning"

    def meet(self, error: DamagedVideoError) -> None:
        """Raise `error`, or log it and go on.

        Raises:
            DamagedVideoError: under `REFUSE`.
        """
        if self is DamagedVideo.REFUSE:
            raise error
        log.warning("%s; going on with the %d frames that can be decoded", error, error.decodable)


def expected_frames(container: Container) -> int:
    """Return how many frames the header promises to show; 0 where it has no count (Matroska, WebM).

    A header counts the frames that an edit list hides too, but its duration does not. An AVI has no such list; where it
    is cut off, FFmpeg guesses a shorter duration from its size.
    """
    if container.format == "avi":
        return container.header_frames
    shown = round(container.duration * container.fps)
    return min(container.header_frames, shown) if shown else container.header_frames


def incomplete(count: int, expected: int) -> bool:
    """Tell whether frames are missing; headers may be off by one frame, or two in a hundred."""
    return expected - count > max(1.0, 0.02 * expected)


def ends_early(seconds: float, promised: float) -> bool:
    """Tell whether frames end long before the duration in the header; a sound track may be longer by a little."""
    return promised > seconds + max(1.0, 0.1 * seconds)


def warn_if_cut_off(container: Container, count: int, seconds: float) -> None:
    """Log a warning where `count` frames end long before the duration in the header.

    Not an error: the frames are right, and the duration may be that of a longer sound track.
    """
    if ends_early(seconds, container.duration):
        log.warning(
            "%s: its %d frames end after %.2f s, but its header promises %.2f s; it may be cut off",
            container.path,
            count,
            seconds,
            container.duration,
        )

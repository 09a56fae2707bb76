"""Damaged videos: how damage is recognised, and what to do with a video that can be decoded only in part.

FFmpeg skips damaged elements of Matroska and WebM files without an error, so these are checked here. FFmpeg and other
programs write a checksum into each element of a Matroska file. WebM has no checksums: a lost block is noticed here,
damage within a block only by the decoder.
"""

from __future__ import annotations

import enum
import logging
import zlib
from pathlib import Path

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


def warn_if_cut_off(container: Container, count: int, seconds: float) -> str:
    """Log and return a warning if `count` frames end long before the duration in the header; otherwise return "".

    This is not an error: the frames are right, and the duration may be that of a longer sound track.
    """
    if not ends_early(seconds, container.duration):
        return ""
    warning = (
        f"its {count} frames end after {seconds:.2f} s, but its header promises {container.duration:.2f} s; it may be "
        "cut off"
    )
    log.warning("%s: %s", container.path, warning)
    return warning


# Element ids of RFC 9559; sizes are encoded as in RFC 8794.
_SEGMENT, _CLUSTER, _CHECKSUM, _VOID = 0x18538067, 0x1F43B675, 0xBF, 0xEC
_SEEK, _INFO, _TRACKS, _CUES, _FILES, _CHAPTERS, _TAGS = (
    0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367,
)  # fmt: skip
_TIME, _SILENT, _POSITION, _PREVIOUS, _BLOCK, _GROUP, _ENCRYPTED = 0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF
_IN_SEGMENT = {_SEEK, _INFO, _TRACKS, _CLUSTER, _CUES, _FILES, _CHAPTERS, _TAGS, _CHECKSUM, _VOID}
_IN_CLUSTER = {_TIME, _SILENT, _POSITION, _PREVIOUS, _BLOCK, _GROUP, _ENCRYPTED, _CHECKSUM, _VOID}
_DECIDING = {_INFO, _TRACKS, _CLUSTER}  # frames depend on these, but not on titles and the like
_HEAD = 12  # largest number of bytes of an id and a size


def damaged_element(path: Path) -> str:
    """Return a description of the first damaged element; empty if there is none.

    A file that ends within an element does not count as damaged here; its duration shows that. Elements after one of
    unknown size, as in live recordings, are not checked.

    Raises:
        OSError: the file cannot be read.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        _, size, start = _head(file.read(_HEAD), 0)  # the EBML header
        file.seek(place := start + size)
        kind, size, start = _head(file.read(_HEAD), 0)
        if kind != _SEGMENT:
            return f"no segment at byte {place}"
        place += start
        end = place + size if size >= 0 else None
        while place + _HEAD <= min(total, total if end is None else end):
            file.seek(place)
            kind, size, start = _head(file.read(_HEAD), 0)
            after = place + start + size
            if kind not in _IN_SEGMENT or (end is not None and after > end):
                return f"no whole element at byte {place}"
            if size < 0 or after > total:
                return ""
            file.seek(place + start)
            if kind in _DECIDING and not _whole(kind, file.read(size)):
                return f"damaged element at byte {place}"
            place = after
    return ""


def _whole(kind: int, content: bytes) -> bool:
    """Tell whether the content of an element matches its checksum or, without one, consists of whole elements."""
    if content[:2] == bytes((_CHECKSUM, 0x84)):
        return zlib.crc32(memoryview(content)[6:]) == int.from_bytes(content[2:6], "little")
    place = 0
    while kind == _CLUSTER and place < len(content):
        inner, size, place = _head(content, place)
        if inner not in _IN_CLUSTER or not 0 <= size <= len(content) - place:
            return False
        place += size
    return True


def _head(content: bytes, place: int) -> tuple[int, int, int]:
    """Return the id and size of the element at `place` and where its content begins; the size is -1 if unknown."""
    head = content[place : place + _HEAD].ljust(_HEAD, b"\0")
    width = 9 - head[0].bit_length()
    kind, head = int.from_bytes(head[:width]), head[width:]
    if width > 4 or not head[0]:
        return 0, 0, place
    length = 9 - head[0].bit_length()
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(head[:length]) & unknown
    return kind, -1 if size == unknown else size, place + width + length

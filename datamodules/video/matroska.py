"""Checks whether the elements of a Matroska or WebM file are intact: FFmpeg skips damaged ones without an error.

FFmpeg and other programs write a checksum into each element of a Matroska file. WebM has no checksums: a lost block is
noticed here, damage within a block only by the decoder.
"""

from __future__ import annotations

import zlib
from pathlib import Path

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

"""Many texts in one buffer: nothing in it is a Python object, so processes that are forked share its pages for good."""

from __future__ import annotations

from array import array

import numpy as np
from jaxtyping import Int64


class PackedTexts:
    """Texts one after the other as UTF-8, with the place where each ends."""

    def __init__(self) -> None:
        """Start empty."""
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Add a text; a file name that is not UTF-8 may be one."""
        self._bytes += text.encode(errors="surrogateescape")
        self._ends.append(len(self._bytes))

    def ends(self) -> Int64[np.ndarray, "texts_and_one"]:
        """Return 0 and the place where each text ends, in bytes."""
        return np.array(self._ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode(errors="surrogateescape")

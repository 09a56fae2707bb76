"""Whether fitted frames are kept between epochs: sensible where a whole data set fits into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

Fitted = tuple[Tensor, Tensor]  # frames (T, 3, S, S) uint8 and their rectangle (4,)


class FrameCache(ABC):
    """The family `frame_cache`."""

    @abstractmethod
    def get(self, key: str, read: Callable[[], Fitted]) -> Fitted:
        """Return the frames kept under `key`, or read them."""


class NoCache(FrameCache):
    """Read every time."""

    def get(self, key: str, read: Callable[[], Fitted]) -> Fitted:
        """Return `read()`."""
        return read()


class MemoryCache(FrameCache):
    """Keep frames in memory up to a bound; what does not fit is read every time.

    Each loader process has a cache of its own, so this suits `workers: 0`.
    """

    def __init__(self, max_gib: float = 1.0) -> None:
        """Start empty.

        Args:
            max_gib: bound on the memory of the kept frames, in GiB.
        """
        if max_gib <= 0:
            raise ValueError(f"frame_cache.init_args.max_gib is {max_gib}; it must be above 0, or use NoCache")
        self.left = int(max_gib * 2**30)
        self.kept: dict[str, Fitted] = {}

    def get(self, key: str, read: Callable[[], Fitted]) -> Fitted:
        """Return the frames under `key`, reading them at most once while there is room."""
        if key in self.kept:
            return self.kept[key]
        fitted = read()
        if fitted[0].nbytes <= self.left:
            self.left -= fitted[0].nbytes
            self.kept[key] = fitted
        return fitted

"""Random numbers by address: what a clip shows depends on seed, split and index alone, never on order or processes."""

from __future__ import annotations

import numpy as np

SPLITS = ("train", "validation", "test", "symbols")  # the last for scenes that no clip shows


def random_stream(seed: int, split: str, *address: int) -> np.random.Generator:
    """Open the stream of random numbers at an address; different addresses give independent streams.

    Args:
        seed: of the clips.
        split: one of `SPLITS`; no two splits share a stream, so none share a clip.
        address: what the numbers are for: first the purpose, then the item.

    Raises:
        ValueError: a split that does not exist, or a negative seed.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} does not exist in ShapesInMotion; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"the seed of the clips (`clips_seed`) must be at least 0; got {seed}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *address))))

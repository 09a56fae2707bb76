"""Asks a teacher for the features of a batch, but only for what the cache does not have."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from components.teachers.base import Teacher
from components.teachers.feature_cache import FeatureCache


def cached_features(
    teacher: Teacher,
    cache: FeatureCache,
    frames: UInt8[Tensor, "frames 3 height width"],
    frame_counts: Sequence[int],
    keys: Sequence[str],
) -> Float[Tensor, "frames rows columns width"]:
    """Return the features of the frames of all clips, packed, on the device of `frames`.

    Args:
        teacher: who is asked.
        cache: who is asked first.
        frames: the clips one after the other.
        frame_counts: frames of each clip.
        keys: name of each clip in the cache.
    """
    clips = frames.split(list(frame_counts))

    def compute(positions: list[int]) -> Sequence[Tensor]:
        counts = [frame_counts[position] for position in positions]
        asked = frames if len(positions) == len(clips) else torch.cat([clips[position] for position in positions])
        features: Tensor = teacher(asked, counts)
        of_clips: Sequence[Tensor] = features.split(counts)
        return of_clips

    return torch.cat([features.to(frames.device) for features in cache.get(keys, compute)])

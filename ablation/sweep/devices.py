"""What of the machine each of several runs at a time gets: one GPU each, and its share of the processor's cores."""

from __future__ import annotations

import os

import torch


def shares(jobs: int) -> list[dict[str, str]]:
    """Return what to set in the environment of as many runs at a time; a single one gets all there is.

    More runs than GPUs share them. What the user has set for the number of threads stays.

    Args:
        jobs: runs at a time.
    """
    if jobs == 1:
        return [{}]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))}
    gpus = _gpus()
    return [threads | ({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}) for slot in range(jobs)]


def _gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]

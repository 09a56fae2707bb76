"""Which training samples come together in a batch: the family `batching`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64

from datamodules.sample_sizes import SampleSizes

Order = Int64[np.ndarray, "samples"]


class Batching(ABC):
    """Arranges the order of an epoch, of which every `at_once` samples in a row are a batch over all devices."""

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return the same samples in the order in which they are batched.

        Args:
            order: of the samples, by chance.
            generator: decides what is left to chance.
            sizes: returns the sizes of all samples, by their numbers.
            at_once: samples per batch over all devices; device `r` of `n` takes every `n`-th of them from `r` on.
        """


class RandomBatches(Batching):
    """Whatever comes together by chance."""

    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return `order`."""
        return order


class SimilarBatches(Batching):
    """Samples of one visual shape and of about the same length: little padding, and devices that wait less.

    Each pool of samples, some batches large and put together by chance, is sorted by frames, by the part of the canvas
    that the picture fills, and by the length of the text; batches are cut from that, and come in random order. The
    largest is the first of an epoch, so that a batch which does not fit into memory fails at once, and samples that
    make no whole batch are the last. Shapes are the true ones with `manifest: Manifest`; without, only videos,
    pictures and text alone are told apart.
    """

    def __init__(self, pool_batches: int = 64) -> None:
        """Keep the size of a pool.

        Args:
            pool_batches: batches per pool; more are more alike within, and depend less on chance from epoch to epoch.

        Raises:
            ValueError: fewer than two, which would be chance.
        """
        if pool_batches < 2:
            raise ValueError(
                f"data.init_args.batching.init_args.pool_batches is {pool_batches}; it must be at least 2, or use "
                "RandomBatches"
            )
        self.pool_batches = pool_batches

    def arrange(
        self, order: Order, generator: torch.Generator, sizes: Callable[[], SampleSizes], at_once: int
    ) -> Order:
        """Return the samples batch by batch."""
        whole = len(order) - len(order) % at_once
        size = sizes()
        shapes, text = size.shapes[order[:whole]], size.text[order[:whole]]
        pool = np.arange(whole) // (self.pool_batches * at_once)
        # By the last key first; what is equal stays in its random order.
        alike = np.lexsort((text, *shapes.T[::-1], pool))
        batches = order[:whole][alike].reshape(-1, at_once)
        batches = batches[torch.randperm(len(batches), generator=generator).numpy()]
        if len(batches):
            tokens = size.shapes.prod(1)[batches].sum(1)
            # Visual tokens weigh more than any text; among equal ones the longest text decides.
            largest = int(np.lexsort((size.text[batches].max(1), tokens))[-1])
            batches[[0, largest]] = batches[[largest, 0]]
        return np.concatenate([batches.reshape(-1), order[whole:]])

"""Where in an epoch a training stands, to go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochPlace:
    """A place between two batches, as a checkpoint keeps it.

    Attributes:
        epoch: number of the epoch.
        samples: of it that have been seen, by all processes.
        at_once: samples of a batch, over all processes.
        order: what decides the order of samples, in words.
    """

    epoch: int
    samples: int
    at_once: int
    order: str

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> EpochPlace:
        """Return the place that a checkpoint has kept.

        Raises:
            ValueError: it is none.
        """
        kinds = {"epoch": int, "samples": int, "at_once": int, "order": str}
        if state.keys() != kinds.keys() or any(type(state[name]) is not kind for name, kind in kinds.items()):
            raise ValueError(f"the checkpoint does not say where its epoch stands, but {dict(state)!r:.200}")
        return cls(**state)

    def check_same_epoch(self, at_once: int, order: str) -> None:
        """Refuse to go on in the middle of an epoch that is another one: samples would be seen twice or never.

        Args:
            at_once: of the run that goes on.
            order: of the run that goes on.

        Raises:
            ValueError: either is another.
        """
        if self.samples and at_once != self.at_once:
            raise ValueError(
                f"the checkpoint stands in the middle of an epoch, of which the run had taken {self.at_once} samples "
                f"at a time, and this one takes data.init_args.batch_size x devices = {at_once}; set batch_size so "
                "that it takes as many"
            )
        if self.samples and order != self.order:
            raise ValueError(
                f"the checkpoint stands in the middle of an epoch of {self.order}, and this run's epochs are of "
                f"{order}; go on with the same data, seed_everything and data.init_args.batching"
            )

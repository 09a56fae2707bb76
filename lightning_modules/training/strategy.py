"""What a `trainer.strategy` needs, and which of Lightning's do not go with this model.

DeepSpeed's ZeRO is a package of its own, and its checkpoints are folders of shards.
"""

from __future__ import annotations

from importlib.util import find_spec

from jsonargparse import Namespace

ReadStrategy = str | Namespace


def strategy_name(strategy: ReadStrategy) -> str:
    """Return the name or the class of a `trainer.strategy`, as parsed."""
    return strategy if isinstance(strategy, str) else str(strategy.class_path).rsplit(".", 1)[-1]


def asks_deepspeed(strategy: ReadStrategy) -> bool:
    """Return whether it is DeepSpeed."""
    return "deepspeed" in strategy_name(strategy).lower()


def check_strategy(strategy: ReadStrategy) -> None:
    """Look whether a training can be had with it.

    Raises:
        ValueError: the package of DeepSpeed is not installed; or it is the FSDP of torch before 2, which gathers what
            this model needs at other times.
    """
    if asks_deepspeed(strategy) and find_spec("deepspeed") is None:
        raise ValueError(
            "trainer.strategy is DeepSpeed, which needs its package: `pip install 'video-panda-lightning[deepspeed]'` "
            "(or `pip install deepspeed`); or take configs/trainer/fsdp.yaml, which needs none"
        )
    name = strategy_name(strategy)
    if name.startswith(("fsdp", "FSDP")):
        raise ValueError(
            f"trainer.strategy is {name}, which does not know what parts of this model run together; "
            "configs/trainer/fsdp.yaml shards it by torch's newer FSDP2"
        )

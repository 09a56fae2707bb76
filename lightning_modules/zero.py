"""DeepSpeed's ZeRO, where it is asked for: a package of its own, and checkpoints that are folders of shards."""

from __future__ import annotations

from importlib.util import find_spec


def asks_deepspeed(strategy: object) -> bool:
    """Return whether `trainer.strategy`, as parsed, is DeepSpeed."""
    return "deepspeed" in str(strategy).lower()


def check_deepspeed(strategy: object) -> None:
    """Look for the package where `trainer.strategy` needs it.

    Raises:
        ValueError: it is not installed.
    """
    if asks_deepspeed(strategy) and find_spec("deepspeed") is None:
        raise ValueError(
            "trainer.strategy is DeepSpeed, which needs its package: `pip install 'video-panda-lightning[deepspeed]'` "
            "(or `pip install deepspeed`); or take configs/trainer/fsdp.yaml, which needs none"
        )

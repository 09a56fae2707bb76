"""The frozen weights of a pretrained language model, which checkpoints leave out.

A checkpoint says where they come from and has a hash of them instead: a stage that trains the vision part alone writes
megabytes and not the language model again and again. Whoever loads the checkpoint must have the same weights from the
same kind of source; the hash is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from components.fingerprint import fingerprint
from components.language_models import LanguageModel
from lightning_modules.checkpoint import CheckpointError

PREFIX = "language_model."
ENTRY = "frozen_base"


class FrozenBase:
    """Leaves frozen weights out of a checkpoint's state dict, and puts them back.

    Weights count as frozen if they do not learn and are still those of `LanguageModel.source`.
    """

    def __init__(self, language_model: LanguageModel) -> None:
        self.language_model = language_model
        self._known: tuple[tuple[str, ...], str] | None = None

    def leave_out(self, checkpoint: dict[str, Any]) -> None:
        """Take the frozen weights out of `checkpoint`, and note what they are."""
        if self.language_model.source is None:
            return
        ours = self._parameters()
        names = [name for name in self.language_model.base_names if not ours[name].requires_grad]
        if not names:
            return
        for name in names:
            checkpoint["state_dict"].pop(PREFIX + name, None)
        checkpoint[ENTRY] = {
            "source": self.language_model.source,
            "tensors": names,
            "fingerprint": self._fingerprint(names),
        }

    def put_back(self, checkpoint: dict[str, Any], key: str) -> list[str]:
        """Add to the state dict of `checkpoint` the weights that were left out of it, from our language model.

        Args:
            checkpoint: as read.
            key: where the user named it.

        Returns:
            The names that were added.

        Raises:
            CheckpointError: our language model does not have these weights.
        """
        left_out = checkpoint.get(ENTRY)
        if left_out is None:
            self.overwritten(checkpoint["state_dict"])
            return []
        names: list[str] = left_out["tensors"]
        ours = self._parameters()
        if not ours.keys() >= set(names) or self._fingerprint(names) != left_out["fingerprint"]:
            raise CheckpointError(
                f"{key} was trained on the frozen weights of {left_out['source']!r}, and those of "
                f"model.language_model ({self.language_model.source or type(self.language_model).__name__!r}) are "
                "others; name the same language model"
            )
        added = [PREFIX + name for name in names]
        checkpoint["state_dict"] |= {PREFIX + name: ours[name].detach() for name in names}
        return added

    def overwritten(self, names: Iterable[str]) -> None:
        """Take note that these tensors of the model get other values than those of the source."""
        if not {PREFIX + name for name in self.language_model.base_names}.isdisjoint(names):
            self.language_model.source = None

    def _parameters(self) -> dict[str, Tensor]:
        return dict(self.language_model.named_parameters(remove_duplicate=False))

    def _fingerprint(self, names: Sequence[str]) -> str:
        """Return the hash of weights that do not change while they are frozen, so it is worked out once."""
        if self._known is None or self._known[0] != tuple(names):
            ours = self._parameters()
            self._known = tuple(names), fingerprint((name, ours[name]) for name in names)
        return self._known[1]

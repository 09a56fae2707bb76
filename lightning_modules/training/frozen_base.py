"""The frozen weights of pretrained parts, a language model or a vision transformer, which checkpoints leave out.

A checkpoint has their source and a hash instead, so a stage that trains the vision part alone writes megabytes and not
the whole language model each time. When a checkpoint is loaded, the pretrained parts of the model must have the same
weights; the hash is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from components.fingerprint import fingerprint, sampled_fingerprint
from components.published import Pretrained
from lightning_modules.training.distributed_checkpoint import CheckpointError
from lightning_modules.training.fully_sharded import whole_tensor

ENTRY = "frozen_base"


class FrozenBase:
    """Leaves frozen weights out of a checkpoint's state dict, and puts them back.

    Weights count as frozen if they are not trained and still those of `Pretrained.source`.

    Attributes:
        parts: pretrained parts by their path in the model, such as `language_model` or `encoder.tower`.
    """

    def __init__(self, groups: Mapping[str, nn.Module]) -> None:
        """Find the pretrained parts.

        Args:
            groups: parameter groups by their name in the model.
        """
        self.parts = {
            path: module
            for group, part in groups.items()
            for path, module in part.named_modules(prefix=group)
            if isinstance(module, Pretrained)
        }
        self._hashes: dict[str, tuple[tuple[str, ...], str]] = {}  # path -> names and hash of tensors

    def origins(self) -> dict[str, dict[str, Any]]:
        """Return path -> source and sampled hash of the parts that still have the weights of their source.

        Parts that are not frozen are included. To be called before the model is sharded.
        """
        return {
            path: {
                "source": part.source,
                "tensors": len(part.base_names),
                # Positions instead of names, which an adapter changes.
                "sampled_sha256": sampled_fingerprint(
                    (str(place), ours[name]) for place, name in enumerate(part.base_names)
                ),
            }
            for path, part in self.parts.items()
            if part.source is not None
            for ours in [_parameters(part)]
        }

    def hashes(self) -> dict[str, str]:
        """Return path -> hash of the frozen weights of a part, if a checkpoint was written or read with them."""
        return {path: digest for path, (_, digest) in self._hashes.items()}

    def left_out(self) -> dict[str, dict[str, Any]]:
        """Return path -> source, names and hash of the frozen weights of a part, which checkpoints leave out.

        The hash is that of the first call, so that the weights may be held in fewer bits afterwards.
        """
        entries = {}
        for path, part in self.parts.items():
            ours = _parameters(part)
            names = [name for name in part.base_names if part.source is not None and not ours[name].requires_grad]
            if names:
                digest = self._fingerprint(path, names)
                entries[path] = {"source": part.source, "tensors": names, "fingerprint": digest}
        return entries

    def leave_out(self, checkpoint: dict[str, Any]) -> None:
        """Remove the frozen weights from `checkpoint`, and record their source and hash in it."""
        left_out = self.left_out()
        for path, entry in left_out.items():
            for name in entry["tensors"]:
                checkpoint["state_dict"].pop(f"{path}.{name}", None)
        if left_out:
            checkpoint[ENTRY] = left_out

    def put_back(self, checkpoint: dict[str, Any], key: str) -> list[str]:
        """Add to the state dict of `checkpoint` the weights that were left out of it, from the parts of this model.

        Args:
            checkpoint: content of the checkpoint.
            key: YAML key of the checkpoint, for error messages.

        Returns:
            Names of the added tensors.

        Raises:
            CheckpointError: the parts of this model have other weights.
        """
        # With DeepSpeed, which loads the weights itself, there is no state dict here.
        weights: dict[str, Tensor] = checkpoint.setdefault("state_dict", {})
        self.overwritten(weights)
        added: dict[str, Tensor] = {}
        left_out: dict[str, Any] = checkpoint.get(ENTRY, {})
        for path, entry in left_out.items():
            names: list[str] = entry["tensors"]
            part = self.parts.get(path)
            ours = {} if part is None else _parameters(part)
            if not ours.keys() >= set(names) or self._fingerprint(path, names) != entry["fingerprint"]:
                here = "without pretrained ones" if part is None else repr(part.source or part.name_or_path)
                raise CheckpointError(
                    f"{key} was trained on the frozen weights of {entry['source']!r}, and those of model.{path} "
                    f"({here}) are others; name the same ones"
                )
            added |= {f"{path}.{name}": ours[name].detach() for name in names}
        weights |= added
        return list(added)

    def overwritten(self, names: Iterable[str]) -> None:
        """Record that the named tensors no longer have the values of their source."""
        names = set(names)
        for path, part in self.parts.items():
            if not names.isdisjoint(f"{path}.{name}" for name in part.base_names):
                part.source = None

    def _fingerprint(self, path: str, names: Sequence[str]) -> str:
        """Return the hash of frozen weights; it is computed once, since they do not change."""
        if path not in self._hashes or self._hashes[path][0] != tuple(names):
            ours = _parameters(self.parts[path])
            self._hashes[path] = tuple(names), fingerprint((name, whole_tensor(ours[name])) for name in names)
        return self._hashes[path][1]


def _parameters(part: object) -> dict[str, Tensor]:
    assert isinstance(part, nn.Module)
    # A shared tensor, as embeddings often are, has several names in a checkpoint.
    return dict(part.named_parameters(remove_duplicate=False))

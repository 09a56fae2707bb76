"""Checkpoints: written atomically, and checked against this project and model before any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from components.files import take_place, unfinished_name
from components.fingerprint import sampled_fingerprint
from components.model_files import damaged_part, not_finite
from lightning_modules.config.difference import difference
from lightning_modules.runs.folder import (
    LAST_CHECKPOINT,
    SHARDS_META,
    attempts,
    is_checkpoint,
    newest_checkpoint,
    run_name,
)
from lightning_modules.training.distributed_checkpoint import (
    CheckpointError,
    is_sharded,
    read_sharded,
    save_whole,
)

# The only one of Lightning's keywords that is supported; our runs have nothing that the others could name.
LAST = "last"
KEYWORDS = (LAST, "best", "hpc", "registry")
# Entries of a checkpoint that are read here.
_ENTRIES: dict[str, type] = {
    "state_dict": dict,
    "components": dict,
    "frozen_base": dict,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "random_state": dict,
    "pytorch-lightning_version": str,
}
# Entries that describe the frozen weights of a part, which a checkpoint leaves out.
_FROZEN = {"source": str, "tensors": list, "fingerprint": str}
_LOOPS = ("fit_loop", "validate_loop", "test_loop", "predict_loop")


def named_checkpoint(path: str | Path, experiment: Path, seed: int) -> Path:
    """Return the file that `ckpt_path` names: for `last`, the newest checkpoint of the experiment with this seed.

    Args:
        path: value of `ckpt_path`.
        experiment: folder of the experiment's runs.
        seed: seed of the run.

    Raises:
        CheckpointError: the keyword is not supported, or there is no checkpoint yet.
    """
    if str(path) not in KEYWORDS and not str(path).startswith("registry:"):
        return Path(path)
    newest = newest_checkpoint(attempts(experiment, run_name(seed)))
    if str(path) == LAST and newest is not None:
        return newest
    if str(path) == LAST:
        raise CheckpointError(
            f"ckpt_path is last, but no run in {experiment} with seed {seed} has a checkpoint; give the path of one"
        )
    example = newest or experiment / run_name(seed) / LAST_CHECKPOINT
    raise CheckpointError(
        f"ckpt_path is {path}; here it is a path, such as {example}, or last for the newest of this experiment and seed"
    )


def check_checkpoint(path: str | Path, key: str = "ckpt_path", folder: bool = False) -> None:
    """Check that `path` can be read as a checkpoint.

    Args:
        path: checkpoint file or folder.
        key: YAML key of the path, for error messages.
        folder: whether it must be a checkpoint folder of DeepSpeed, which resumes from nothing else.

    Raises:
        CheckpointError: it is missing, unreadable, lacks required entries, or has non-finite weights.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{key} {path} does not exist")
    if folder:
        if not (path / "checkpoint").is_dir():
            raise CheckpointError(
                f"{key} {path} is no checkpoint folder of DeepSpeed, which trainer.strategy is; init_from takes the "
                "weights of a file"
            )
        return
    if path.is_dir() and not is_sharded(path):
        raise CheckpointError(
            f"{key} {path} is a folder without {SHARDS_META}, so no checkpoint of this project; if it is DeepSpeed's, "
            "a run with configs/trainer/zero2.yaml goes on from it, "
            'and this makes a file of it: python -c "from lightning.pytorch.utilities.deepspeed import '
            f"convert_zero_checkpoint_to_fp32_state_dict as convert; convert('{path}', 'FILE')\""
        )
    if not is_checkpoint(path):
        raise CheckpointError(f"{key} {path} is no regular file, but a pipe, a device or a socket")
    content = read_checkpoint(path, key, checksums=True)
    bad = not_finite(content["state_dict"])
    if bad is not None:
        raise CheckpointError(f"{key} {path}: {bad} has NaN or infinite values; its training came to nothing there")


def read_checkpoint(path: Path, key: str, checksums: bool = False) -> dict[str, Any]:
    """Read a checkpoint; its tensors are memory-mapped, or in shards, and read only when they are used.

    Args:
        path: checkpoint file or folder.
        key: YAML key of the path, for error messages.
        checksums: whether to verify the checksums in it, which reads all of it.

    Raises:
        CheckpointError: it is not a checkpoint of this project, or damaged.
    """
    try:
        if is_sharded(path):
            content, damaged = read_sharded(path, f"{key} {path}", checksums), None
        else:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            damaged = damaged_part(path) if checksums else None
    except CheckpointError:
        raise
    except Exception as error:  # unpickling damaged bytes may raise anything; no code in them is executed
        if isinstance(error, OSError) and error.filename is not None:  # the file could not be opened
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{key} {path} is not a checkpoint: {first}") from None
    if damaged is not None:
        raise CheckpointError(f"{key} {path} is damaged: the checksum of {damaged} in it is wrong")
    if not isinstance(content, dict) or not {"state_dict", "components"} <= content.keys():
        raise CheckpointError(
            f"{key} {path} is not a checkpoint of this project: it has no `state_dict` and `components`"
        )
    _check_entries(content, f"{key} {path}")
    return content


def _check_entries(content: Mapping[str, Any], source: str) -> None:
    """Refuse entries of the wrong type."""
    wrong = [
        f"{name} is {type(content[name]).__name__}"
        for name, kind in _ENTRIES.items()
        if name in content
        and type(content[name]) is not kind
        and not (kind is dict and isinstance(content[name], dict))
    ]
    wrong += [f"state_dict has {name!r:.60}" for name, value in _items(content, "state_dict", Tensor)]
    wrong += [f"components has {name!r:.60}" for name, value in _items(content, "components", str)]
    wrong += [f"frozen_base has {name!r:.60}" for name, value in _items(content, "frozen_base", dict)]
    wrong += [f"random_state has {name!r:.60}" for name, value in _items(content, "random_state", Tensor)]
    if not wrong:  # one level further down
        wrong += [
            f"frozen_base.{path:.60} has no {name} that is {kind.__name__}"
            for path, entry in content.get("frozen_base", {}).items()
            for name, kind in _FROZEN.items()
            if not isinstance(entry.get(name), kind)
            or (kind is list and not all(isinstance(part, str) for part in entry[name]))
        ]
        loops = content.get("loops")
        wrong += [f"loops has no {name}" for name in _LOOPS if loops is not None and type(loops.get(name)) is not dict]
        wrong += [
            f"optimizer_states.{number} has no state and param_groups"
            for number, state in enumerate(content.get("optimizer_states", []))
            if not isinstance(state, dict)
            or not isinstance(state.get("state"), dict)
            or not isinstance(state.get("param_groups"), list)
        ]
    if wrong:
        raise CheckpointError(f"{source} is damaged, or not of this project: {'; '.join(wrong[:3])}")


def _items(content: Mapping[str, Any], name: str, kind: type) -> list[tuple[Any, Any]]:
    """Return the items of `content[name]` whose key is not a string or whose value is not of type `kind`."""
    owner = content.get(name, {})
    if not isinstance(owner, dict):
        return []
    return [(key, value) for key, value in owner.items() if not (isinstance(key, str) and isinstance(value, kind))]


def check_same_model(
    checkpoint: Mapping[str, Any], components: Mapping[str, str], tensors: Mapping[str, Tensor], key: str = "ckpt_path"
) -> None:
    """Compare a checkpoint with the model that is to resume from it.

    Args:
        checkpoint: content of the checkpoint; one without `state_dict` is from DeepSpeed, which loads the weights.
        components: class in every slot of the model.
        tensors: state dict of the model.
        key: YAML key of the checkpoint, for error messages.

    Raises:
        CheckpointError: its components, or the names or shapes of its tensors, differ; or it is damaged.
    """
    _check_entries(checkpoint, key)
    different = changed_components(components, checkpoint.get("components", {}), key)
    if different:
        raise CheckpointError(
            f"{key} holds another variant of the model, there -> in the configuration: {'; '.join(different)}"
        )
    if "state_dict" not in checkpoint:
        return
    weights: Mapping[str, Tensor] = checkpoint["state_dict"]
    base = checkpoint.get("frozen_base", {})
    elsewhere = {f"{path}.{name}" for path, entry in base.items() for name in entry["tensors"]}
    misfits = [
        name
        for name in (tensors.keys() | weights.keys()) - elsewhere
        if name not in tensors or name not in weights or tensors[name].shape != weights[name].shape
    ]
    if misfits:
        raise CheckpointError(
            f"{key} holds a model of other sizes than the configuration: "
            f"{tensor_differences(tensors, weights, misfits)}"
        )


def changed_components(ours: Mapping[str, str | None], theirs: Mapping[str, str], where: str) -> list[str]:
    """Return one line per slot that holds another class in a checkpoint than in the model.

    A slot that the checkpoint does not name, although it names the part that has the slot, was not recorded by the
    version that wrote it. It is taken to hold the same class as in the model, with a warning.
    """
    owners = {slot: slot.rpartition(".")[0] for slot in ours.keys() - theirs.keys()}
    unknown = sorted(slot for slot, owner in owners.items() if owner in ours and theirs.get(owner) == ours[owner])
    if unknown:
        slots = ", ".join(f"{slot} (taken to be {ours[slot]})" for slot in unknown)
        rank_zero_warn(f"{where} is of an earlier version, which did not note what fills {slots}")
    return difference({slot: name for slot, name in ours.items() if slot not in unknown}, theirs)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of samples of the weights in a file, with which a run records its initial weights."""
    return sampled_fingerprint(sorted(weights.items()))


def tensor_differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], misfits: Iterable[str]) -> str:
    """Return the shapes of up to five tensors that differ between a file and the model."""
    names = sorted(set(misfits))
    shapes = [f"{name} is {_shape(theirs.get(name))} there, {_shape(ours.get(name))} here" for name in names[:5]]
    return "; ".join(shapes) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(list(tensor.shape))


class WholeFileIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file beside the earlier one and renames it once it is complete on disk.

    Lightning holds a second copy of all of it in memory, writes that into the folder for temporary files and, if that
    is on another file system, copies over the earlier checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: as for `whole_file`.
        """
        if "://" in str(path):  # not a local file
            super().save_checkpoint(checkpoint, path, storage_options)
        elif is_sharded(Path(path)):  # the run went on from the checkpoint of a sharded one
            save_whole(checkpoint, complete := unfinished_name(Path(path)))
            take_place(complete, Path(path))
        else:
            save_whole(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint; the tensors of a folder are read when they are used."""
        if is_sharded(Path(path)):
            return read_checkpoint(Path(path), "ckpt_path")
        return super().load_checkpoint(path, *args, **kwargs)

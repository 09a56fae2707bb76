"""The changes of an experiment: its resolved configuration compared with that of the files that it builds on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.config.chain import is_general, is_scale, with_bases
from lightning_modules.config.user_errors import CommandLineError

if TYPE_CHECKING:  # programs that compare finished runs need no parser
    from jsonargparse import Namespace
    from lightning.pytorch.cli import LightningArgumentParser

    from lightning_modules.resolve import Experiment


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys, and class paths as class names."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value.rsplit(".", 1)[-1] if key == "class_path" else value
    return leaves


def shown(leaves: Mapping[str, Any], key: str) -> Any:
    """Return the value under `key` for a report: the names or files of a list of benchmarks or sources."""
    value = leaves.get(key, "-")
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        names = [next((item[name] for name in ("name", "file") if item.get(name)), None) for item in value]
        return f"[{', '.join(map(str, names))}]" if all(names) else value
    return value


def difference(ours: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Return one line per key that differs, `key: old -> new`, without the settings of a replaced class."""
    new, old = flat(ours), flat(base)
    replaced = [
        key.removesuffix("class_path") + "init_args."
        for key in new.keys() | old.keys()
        if key.endswith(".class_path") and new.get(key) != old.get(key)
    ]
    gone = {key for key in old.keys() - new.keys() if key.startswith(tuple(replaced))}
    return [
        f"{key.replace('.init_args', '').removesuffix('.class_path')}: {shown(old, key)} -> {shown(new, key)}"
        for key in sorted((new.keys() | old.keys()) - gone)
        if new.get(key) != old.get(key)
    ]


@dataclass(frozen=True)
class Changes:
    """Changes of an experiment, one line each; none if it has no bases, or these are incomplete by themselves.

    Attributes:
        own: differences of the experiment from the files that it builds on.
        inherited: differences of these from the first experiment among them.
        base_encoder: configuration of the encoder in the files that the experiment builds on.
    """

    own: Sequence[str] = ()
    inherited: Sequence[str] = ()
    base_encoder: Mapping[str, Any] | None = None


def changes(experiment: Experiment, parser: LightningArgumentParser) -> Changes:
    """Return how the files that the user named differ from those that they build on, at the same scale."""
    own = [file for file in experiment.own_files if not is_scale(file)] or experiment.own_files
    bases = [file for file in experiment.files if file not in own]
    base = _of_files(bases, experiment, parser) if bases else None
    if base is None:
        return Changes()
    experiments = [file for file in bases if not is_general(file)]
    first = [file for file in bases if file not in experiments[1:]]
    origin = _of_files(first, experiment, parser) if first != bases else None
    inherited = [] if origin is None else _differences(base, origin)
    return Changes(_differences(experiment.config, base), inherited, base.model.encoder.as_dict())


def _of_files(files: Sequence[Path], experiment: Experiment, parser: LightningArgumentParser) -> Namespace | None:
    """Return the configuration of these files only; None if it is incomplete."""
    verb = experiment.verb
    seed = f"--seed_everything={experiment.config.seed_everything}"  # another seed is not another experiment
    words = with_bases([verb, *(f"--config={file}" for file in files), seed])
    try:
        config: Namespace = parser.parse_args(words)[verb]
    except CommandLineError:
        return None
    return config


def _differences(ours: Namespace, base: Namespace) -> list[str]:
    return [
        line
        for part in ("model", "data", "trainer")
        for line in difference({part: ours[part].as_dict()}, {part: base[part].as_dict()})
    ]

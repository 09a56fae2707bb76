"""`base:` in a YAML file: an experiment is a small difference from the files that it builds on.

The chain of bases is followed, and all files are passed to the parser as if each had its own `--config`: bases first,
then the files that the user named, then flags. Later ones win. In every file, `${here}` is the folder of the file.

Settings that an experiment changes at one scale only are under `at_scale:`, by the name of the scale: those under
`paper` are used if `configs/scale/paper.yaml` is the scale, like a file right after both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader

from components.yaml_file import YamlError, parse_yaml, read_yaml
from lightning_modules.config.packaged import beside, did_you_mean, found, packaged_files

HERE = "${here}"
FILE_KEYS = ("base", "at_scale")  # keys that are not settings
SCALES = "configs/scale"
STAGES = ("configs/stage/align.yaml", "configs/stage/integrate.yaml", "configs/stage/instruct.yaml")


def _strict(mode: str) -> None:
    """Let the parser refuse what `parse_yaml` refuses, also in files and flags that the parser reads itself."""
    ArgumentParser(parser_mode=mode).parse_string("{}")  # creates the loader
    loader = get_loader(mode)

    def load(text: str) -> Any:
        parse_yaml(text)
        return loader(text)

    set_loader(mode, load, (yaml.YAMLError, YamlError))


_strict("yaml")
_strict("omegaconf+")


class ConfigChainError(ValueError):
    """A config file that cannot be read, is empty, or has missing or circular bases."""


def read_config(path: Path) -> dict[str, Any]:
    """Read one YAML file without following its bases.

    Raises:
        ConfigChainError: the file does not exist, is not YAML, is empty, or is not a mapping.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigChainError(f"config file {path} is no regular file, but a pipe, a device or a socket")
    try:
        content = read_yaml(path, "config file")
    except YamlError as error:
        raise ConfigChainError(str(error)) from None
    if content is None:
        raise ConfigChainError(f"config file {path} is empty; it must be a mapping such as `model: ...`")
    if not isinstance(content, dict):
        raise ConfigChainError(
            f"config file {path} holds a {type(content).__name__}; it must be a mapping such as `model: ...`"
        )
    return content


def replace_here(value: Any, folder: Path) -> Any:
    """Return the content of a config file with every `${here}` replaced by the folder of the file."""
    if isinstance(value, dict):
        return {key: replace_here(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_here(item, folder) for item in value]
    return value.replace(HERE, str(folder)) if isinstance(value, str) else value


def base_files(path: Path) -> list[Path]:
    """Return the files under `base:` in `path`, which are relative to its folder (`beside`).

    Raises:
        ConfigChainError: `base` is neither a file name nor a list of them.
    """
    bases = read_config(path).get("base")
    bases = [] if bases is None else [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigChainError(f"`base` in {path} is {bases!r}; it must be a file name or a list of file names")
    return [beside(path, base) for base in bases]


def settings_at(path: Path, scale: Path) -> dict[str, Any]:
    """Return the settings of `path` for one scale, with `${here}` replaced.

    Args:
        path: config file with an `at_scale`.
        scale: config file of the scale; the files beside it and the packaged ones are the other scales.

    Raises:
        ConfigChainError: `at_scale` is not a mapping from names of scales to settings, or has `base` in it.
    """
    scales = replace_here(read_config(path).get("at_scale"), path.absolute().parent)
    scales = {} if scales is None else scales
    if not isinstance(scales, dict) or not all(isinstance(settings, dict) for settings in scales.values()):
        raise ConfigChainError(
            f"`at_scale` in {path} is {scales!r}; it must be a mapping such as `paper: {{data: {{init_args: ...}}}}`"
        )
    beside_scale = {*scale.parent.glob("*.yaml"), *packaged_files(SCALES, "*.yaml")}
    names = sorted({file.stem for file in beside_scale})
    unknown = [str(name) for name in scales if name not in names]
    if unknown:
        raise ConfigChainError(f"`at_scale` in {path} names {', '.join(unknown)}; the scales are {', '.join(names)}")
    for settings in scales.values():
        if settings.keys() & set(FILE_KEYS):
            raise ConfigChainError(f"`at_scale` in {path} holds {' or '.join(FILE_KEYS)}, which stand outside of it")
    settings_here: dict[str, Any] = scales.get(scale.stem, {})
    return settings_here


def config_chain(path: str | Path) -> list[Path]:
    """Return `path` (see `found`) and all files that it builds on, the most basic first, each file once.

    Raises:
        ConfigChainError: a file in the chain is missing or unreadable, or the chain loops.
    """
    chain: list[Path] = []
    file = found(path)
    if not os.path.exists(file):  # noqa: PTH110  (as below)
        raise ConfigChainError(f"config file {file} does not exist{did_you_mean(file)}")
    _complete(chain, file, ())
    return chain


def _complete(chain: list[Path], path: Path, above: tuple[Path, ...]) -> None:
    """Append to a chain the files that `path` builds on, unless they are in it, and then `path`."""
    bases = base_files(path)
    resolved = path.resolve()
    if resolved in above:
        loop = " -> ".join(str(file.name) for file in (*above[above.index(resolved) :], resolved))
        raise ConfigChainError(f"`base` of {path} goes in a circle: {loop}")
    for base in bases:
        if not os.path.isfile(base):  # noqa: PTH113  (Path.is_file raises where a name is too long)
            state = "is no file" if os.path.exists(base) else "does not exist"  # noqa: PTH110
            raise ConfigChainError(f"`base` of {path} names {base}, which {state}")
        if base not in chain:
            _complete(chain, base, (*above, resolved))
    chain.append(path)


def with_bases(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line with the bases of all `--config` files before these files.

    So a base never overrides a file that the user named, whatever their order. Among the bases, files in `configs` come
    first, and of these last the ones that files in `configs` build on: a scale overrides the scale that an experiment
    builds on, but not an experiment that it builds on itself. The settings of a file for the scale of the run follow,
    as YAML, right after the file and the scale.

    Raises:
        ConfigChainError: as for `config_chain`.
    """
    rest, place, files = _split(arguments)
    return [*rest[:place], *(f"--config={file}" for file in files), *rest[place:]]


def config_files(arguments: Sequence[str]) -> list[Path]:
    """Return the config files that `with_bases` puts into a command line, in that order.

    Raises:
        ConfigChainError: as for `config_chain`.
    """
    return [file for file in _split(arguments)[2] if isinstance(file, Path)]


def _split(arguments: Sequence[str]) -> tuple[list[str], int, list[Path | str]]:
    """Return the other arguments, the position of the config files among them, and these files with their bases."""
    rest: list[str] = []
    typed: list[str] = []
    place: int | None = None
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in ("--config", "-c"):
            rest.append(word)
            continue
        place = len(rest) if place is None else place
        file = value if equals else next(words, None)
        if file is None:
            raise ConfigChainError(f"{option} needs a file name")
        typed.append(file)
    if place is None:
        return rest, 0, []
    chains = [config_chain(file) for file in typed]
    named_files = [chain[-1] for chain in chains]
    bases = [base for chain in sorted(chains, key=lambda chain: is_general(chain[-1])) for base in chain[:-1]]
    bases = list(dict.fromkeys(sorted(bases, key=lambda base: not is_general(base))))
    return rest, place, _with_settings_at_scale([*(base for base in bases if base not in named_files), *named_files])


def _with_settings_at_scale(files: list[Path]) -> list[Path | str]:
    scales = [place for place, file in enumerate(files) if is_scale(file)]
    if not scales:
        return [*files]
    scale = scales[-1]
    behind: list[list[str]] = [[] for _ in files]
    for place, file in enumerate(files):
        settings = settings_at(file, files[scale])
        if settings:
            behind[max(place, scale)].append(yaml.safe_dump(settings, default_flow_style=True, width=math.inf).strip())
    result: list[Path | str] = []
    for file, settings_behind in zip(files, behind, strict=True):
        result += [file, *settings_behind]
    return result


Settings = list[tuple[str, dict[str, Any]]]  # source, and the settings in it


def settings_in(files: Sequence[Path]) -> Settings:
    """Return the settings of every config file of a run, and its settings for the scale of the run."""
    scales = [file for file in files if is_scale(file)]
    contents = [(file, read_config(file)) for file in files]
    return [
        *(
            (f"config file {file}", {key: content[key] for key in content if key not in FILE_KEYS})
            for file, content in contents
        ),
        *((f"`at_scale` in {file}", settings_at(file, scales[-1])) for file in files if scales),
    ]


def mappings_in(arguments: Sequence[str]) -> Settings:
    """Return the settings of flags whose value is a mapping, such as `--data.sampler={class_path: FpsSampler}`.

    Raises:
        ConfigChainError: a value begins like a mapping but is not valid YAML.
    """
    settings = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        option, _, text = word.partition("=") if word.startswith("--") else (before, "", word)
        if option.startswith("--") and text.startswith("{"):
            try:
                content = parse_yaml(text)
            except YamlError as error:
                raise ConfigChainError(f"{option} is not valid YAML: {error}") from None
            for key in reversed(option.removeprefix("--").split(".")):
                content = {key: content}
            settings.append((option, content))
    return settings


def is_scale(file: Path) -> bool:
    """Whether a config file sets the scale of runs, and not their question: those in a folder `scale`."""
    return file.resolve().parent.name == "scale"


def is_general(file: Path) -> bool:
    """Whether a config file is not an experiment: those in a folder `configs`."""
    return any(folder.name == "configs" for folder in file.resolve().parents)


def given_files(files: Sequence[Path]) -> list[Path]:
    """Return the files that no other one builds on: those that the user named, without the bases."""
    bases = {base.resolve() for file in files for base in config_chain(file)[:-1]}
    return list(dict.fromkeys(file for file in files if file.resolve() not in bases))

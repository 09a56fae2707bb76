"""`base:` in a YAML file: an experiment is a small difference from the file it names.

The chain of bases is followed upward, and all files are handed to the parser as if each had been given with its own
`--config`: bases first, then what the user named, then flags. Later wins. In all of them, `${here}` is the folder that
the file is in.

What an experiment sets to something else at every scale, it has under `at_scale:`, by the name of the scale: what is
under `paper` there counts where `configs/scale/paper.yaml` decides, like a file that stands right behind both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = "${here}"


class ConfigChainError(ValueError):
    """A config file that cannot be read, or whose bases are missing or go in a circle."""


def read_config(path: Path) -> dict[str, Any]:
    """Read one YAML file without following its bases.

    Raises:
        ConfigChainError: no such file, not YAML, or not a mapping.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigChainError(f"config file {path} is no regular file, but a pipe, a device or a socket")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigChainError(f"config file {path} does not exist") from None
    except IsADirectoryError:
        raise ConfigChainError(f"config file {path} is a directory; name a .yaml file in it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigChainError(f"config file {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigChainError(
            f"config file {path} holds a {type(content).__name__}; it must be a mapping such as `model: ...`"
        )
    return content


def in_its_place(value: Any, folder: Path) -> Any:
    """Return what a config file holds, with `${here}` replaced by the folder of the file wherever it stands."""
    if isinstance(value, dict):
        return {key: in_its_place(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [in_its_place(item, folder) for item in value]
    return value.replace(HERE, str(folder)) if isinstance(value, str) else value


def base_files(path: Path) -> list[Path]:
    """Return the files that `path` names under `base:`, relative to its own folder.

    Raises:
        ConfigChainError: `base` is neither a file name nor a list of them.
    """
    bases = read_config(path).get("base") or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigChainError(f"`base` in {path} is {bases!r}; it must be a file name or a list of file names")
    return [path.parent / base for base in bases]


def settings_at(path: Path, scale: Path) -> dict[str, Any]:
    """Return what `path` sets at one scale alone.

    Raises:
        ConfigChainError: `at_scale` is not a mapping of the names of scales, files beside `scale`, to settings.
    """
    scales = read_config(path).get("at_scale") or {}
    if not isinstance(scales, dict) or not all(isinstance(settings, dict) for settings in scales.values()):
        raise ConfigChainError(
            f"`at_scale` in {path} is {scales!r}; it must be a mapping such as `paper: {{data: {{init_args: ...}}}}`"
        )
    known = sorted(file.stem for file in scale.parent.glob("*.yaml"))
    unknown = [str(name) for name in scales if name not in known]
    if unknown:
        raise ConfigChainError(f"`at_scale` in {path} names {', '.join(unknown)}; the scales are {', '.join(known)}")
    settings: dict[str, Any] = scales.get(scale.stem, {})
    return settings


def config_chain(path: str | Path, _open: tuple[Path, ...] = ()) -> list[Path]:
    """Return `path` and all files it builds on, the most basic first, each file once.

    Raises:
        ConfigChainError: a file in the chain is missing or unreadable, or the chain loops.
    """
    path = Path(path)
    resolved = path.resolve()
    if resolved in _open:
        loop = " -> ".join(str(file.name) for file in (*_open[_open.index(resolved) :], resolved))
        raise ConfigChainError(f"`base` of {path} goes in a circle: {loop}")
    chain: list[Path] = []
    for base in base_files(path):
        if not base.is_file():
            raise ConfigChainError(f"`base` of {path} names {base}, which does not exist")
        chain += [file for file in config_chain(base, (*_open, resolved)) if file not in chain]
    return [*chain, path]


def with_bases(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments in which the bases of all `--config` files stand before these files.

    So a base never overrides a file that the user named, in whichever order files are named. Among the bases, files of
    `configs` come first, of these last the ones that files in `configs` build on: a scale decides for an experiment
    that builds on another scale, and not over an experiment that it builds on. What files set at the scale that decides
    is put in, as JSON, right behind it and them.

    Raises:
        ConfigChainError: as `config_chain`.
    """
    rest: list[str] = []
    given: list[Path] = []
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
        given.append(Path(file))
    if place is None:
        return rest
    chains = [config_chain(file) for file in given]
    bases = [base for chain in sorted(chains, key=lambda chain: is_general(chain[-1])) for base in chain[:-1]]
    bases = list(dict.fromkeys(sorted(bases, key=lambda base: not is_general(base))))
    files = _with_settings_at_scale([*(base for base in bases if base not in given), *given])
    return [*rest[:place], *(f"--config={file}" for file in files), *rest[place:]]


def _with_settings_at_scale(files: list[Path]) -> list[Path | str]:
    scales = [place for place, file in enumerate(files) if is_scale(file)]
    if not scales:
        return [*files]
    scale = scales[-1]
    behind: list[list[str]] = [[] for _ in files]
    for place, file in enumerate(files):
        settings = settings_at(file, files[scale])
        if settings:
            behind[max(place, scale)].append(json.dumps(settings))
    result: list[Path | str] = []
    for file, settings_behind in zip(files, behind, strict=True):
        result += [file, *settings_behind]
    return result


def is_scale(file: Path) -> bool:
    """Whether a config file sets how large all is, and not what is asked: those in a folder `scale`."""
    return file.resolve().parent.name == "scale"


def is_general(file: Path) -> bool:
    """Whether a config file is no experiment: those in a folder `configs`."""
    return any(folder.name == "configs" for folder in file.resolve().parents)


def given_files(files: Sequence[Path]) -> list[Path]:
    """Return those of `files` that no other one builds on: what the user named, without the bases."""
    bases = {base.resolve() for file in files for base in config_chain(file)[:-1]}
    return list(dict.fromkeys(file for file in files if file.resolve() not in bases))

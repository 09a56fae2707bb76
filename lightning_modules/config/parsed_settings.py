"""What the parser lets through in files: empty keys, null for any setting, anything for a class of plain settings."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pydoc import locate
from typing import Any

from lightning_modules.config.difference import flat


def lost_keys(content: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a file that have nothing but empty mappings under them and are not in what was parsed.

    The parser refuses unknown keys by their values, and finds none there.

    Args:
        content: of the file, or of a part of it.
        config: what all files and flags have become. Below a class that has taken the place of the file's, nothing is
            compared.
    """
    if "class_path" in config and not {"class_path", "init_args"} & content.keys():
        config = config.get("init_args") or {}
    names = [str(part.get("class_path", "")).rpartition(".")[2] for part in (content, config)]
    if all(names) and names[0] != names[1]:
        return []
    lost = []
    for key, value in content.items():
        parsed = config.get(key.removesuffix("+"))
        if isinstance(value, Mapping) and isinstance(parsed, Mapping):
            lost += [f"{key}.{below}" for below in lost_keys(value, parsed)]
        elif isinstance(value, list) and isinstance(parsed, list):
            lost += [f"{key}.{below}" for item in value for below in _lost_in_all(item, parsed)]
        elif isinstance(value, Mapping) and not flat(value) and key.removesuffix("+") not in config:
            lost.append(key)
    return lost


def _lost_in_all(item: Any, parsed: list[Any]) -> list[str]:
    if not isinstance(item, Mapping):
        return []
    return min((lost_keys(item, other) for other in parsed if isinstance(other, Mapping)), key=len, default=[])


def check_settings(hint: Any, value: Any, place: str) -> None:
    """Look through what was parsed for one place, before it is built.

    Args:
        hint: type of what belongs there.
        value: a class with its settings, such settings alone, several of these, or a plain value.
        place: its key.

    Raises:
        ValueError: a setting is null that must not be, or a value stands where settings must; the line names it and
            the type that it needs.
    """
    if isinstance(value, list):
        for item in value:
            check_settings(hint, item, place)
    if not isinstance(value, Mapping):
        return
    kind = locate(str(value["class_path"])) if "class_path" in value else _of_settings(hint)
    settings = value.get("init_args") if "class_path" in value else value
    if not isinstance(kind, type) or not isinstance(settings, Mapping):
        return  # a plain mapping, or a class without settings
    within = f"{place}.init_args" if "class_path" in value else place
    for name, (needed, default) in takes(kind).items():
        if name not in settings:
            continue
        found = settings[name]
        if found is None and default is not None and not _may_be_null(needed):
            raise ValueError(f"{within}.{name} is null; it must be of type {_in_words(needed)}")
        if is_dataclass(needed) and not isinstance(found, Mapping | needed):
            raise ValueError(f"{within}.{name} is {found!r}; it must be a mapping, the settings of {_in_words(needed)}")
        check_settings(needed, found, f"{within}.{name}")


def takes(kind: type) -> dict[str, tuple[Any, Any]]:
    """Return type and default of every argument of a class by name, those included that it hands on to its bases."""
    found: dict[str, tuple[Any, Any]] = {}
    for owner in reversed(kind.__mro__):
        constructor = vars(owner).get("__init__")
        if constructor is None:
            continue
        try:
            hints = typing.get_type_hints(constructor)
        except NameError:  # of a library that imports its types for checkers alone
            continue
        parameters = inspect.signature(constructor).parameters
        found |= {
            name: (hints[name], parameter.default)
            for name, parameter in parameters.items()
            if name in hints and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
    return found


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type and what it is made of: the members of a union, the items of a list, what a callable returns."""
    yield hint
    arguments = typing.get_args(hint)
    for part in arguments[1:] if typing.get_origin(hint) is collections.abc.Callable else arguments:
        yield from _parts(part)


def _of_settings(hint: Any) -> type | None:
    """Return the class that a mapping without `class_path` is for: one of plain settings, or a root of all."""
    of_settings = (part for part in _parts(hint) if isinstance(part, type) and is_dataclass(part))
    return hint if isinstance(hint, type) else next(of_settings, None)


def _may_be_null(hint: Any) -> bool:
    return hint is Any or hint is type(None) or type(None) in typing.get_args(hint)


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is collections.abc.Callable:
        hint = typing.get_args(hint)[1]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_in_words, typing.get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)

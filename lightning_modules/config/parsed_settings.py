"""Checks that the parser leaves out: lost empty keys, null for any setting, plain values in place of settings."""

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
    """Return the keys of a file that hold only empty mappings and are missing from the parsed configuration.

    The parser finds unknown keys by their values, so it does not notice those without any.

    Args:
        content: content of the file, or of a part of it.
        config: parsed configuration of all files and flags. Settings of a class that another one has replaced are not
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
    """Check the parsed value of a key, before anything is built.

    Args:
        hint: type hint of the key.
        value: a class with its settings, settings only, a list of these, or a plain value.
        place: the key, for error messages.

    Raises:
        ValueError: a setting is null that must not be, or is a plain value instead of settings.
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
    for name, (expected, default) in takes(kind).items():
        if name not in settings:
            continue
        setting = settings[name]
        if setting is None and default is not None and not _may_be_null(expected):
            raise ValueError(f"{within}.{name} is null; it must be of type {_in_words(expected)}")
        if is_dataclass(expected) and not isinstance(setting, Mapping | expected):
            raise ValueError(
                f"{within}.{name} is {setting!r}; it must be a mapping, the settings of {_in_words(expected)}"
            )
        check_settings(expected, setting, f"{within}.{name}")


def takes(kind: type) -> dict[str, tuple[Any, Any]]:
    """Return name -> type and default of the arguments of a class and its base classes."""
    arguments: dict[str, tuple[Any, Any]] = {}
    for owner in reversed(kind.__mro__):
        constructor = vars(owner).get("__init__")
        if constructor is None:
            continue
        try:
            hints = typing.get_type_hints(constructor)
        except NameError:  # a library that imports its types only for type checkers
            continue
        parameters = inspect.signature(constructor).parameters
        arguments |= {
            name: (hints[name], parameter.default)
            for name, parameter in parameters.items()
            if name in hints and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
    return arguments


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type and its parts: the members of a union, the items of a list, the return type of a callable."""
    yield hint
    arguments = typing.get_args(hint)
    for part in arguments[1:] if typing.get_origin(hint) is collections.abc.Callable else arguments:
        yield from _parts(part)


def _of_settings(hint: Any) -> type | None:
    """Return the class that a mapping without `class_path` sets: the class itself, or a dataclass in the hint."""
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

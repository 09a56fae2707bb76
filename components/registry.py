"""A read-only view of the component families, for messages, docs and tests; it never builds anything.

The type hints of constructors are the registry: an argument typed with a class, or with a callable that returns one, is
a slot, and it accepts the imported concrete subclasses of that class.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from abc import ABC
from collections.abc import Iterator
from dataclasses import is_dataclass

from torch import nn


def _below(base: type) -> Iterator[type]:
    children: list[type] = base.__subclasses__()
    for child in children:
        yield child
        yield from _below(child)


def members(base: type) -> dict[str, type]:
    """Return the concrete members of the family `base` by name, sorted."""
    candidates = [base, *_below(base)]
    return {member.__name__: member for member in sorted(candidates, key=lambda c: c.__name__) if _is_concrete(member)}


def _is_concrete(member: type) -> bool:
    # A class that derives directly from ABC is an interface, even without abstract methods.
    return not inspect.isabstract(member) and ABC not in member.__bases__


def _family(hint: object, packages: tuple[str, ...]) -> type | None:
    if typing.get_origin(hint) is collections.abc.Callable:
        hint = typing.get_args(hint)[1]
    if isinstance(hint, type) and hint.__module__.startswith(packages) and hint.__subclasses__():
        return hint
    return None


def _alternatives(hint: object) -> Iterator[object]:
    """Yield the alternatives of a hint: each part of a union or list."""
    if typing.get_origin(hint) in (list, types.UnionType, typing.Union):
        for part in typing.get_args(hint):
            yield from _alternatives(part)
    else:
        yield hint


def _arguments(owner: type) -> Iterator[tuple[str, object]]:
    """Yield the name and each alternative of the type hint of every argument of a constructor."""
    for name, hint in typing.get_type_hints(owner.__init__).items():  # type: ignore[misc]
        for part in _alternatives(hint):
            yield name, part


def slots(root: type, packages: tuple[str, ...] = ("components.", "datamodules.")) -> dict[str, type]:
    """Return the family of every slot of `root` and of the classes that fit into its slots, by argument name.

    Args:
        root: class whose constructor has typed slots.
        packages: prefixes of the modules that define families.
    """
    families: dict[str, type] = {}
    waiting = [root, *_below(root)]
    seen: set[type] = set()
    while waiting:
        owner = waiting.pop()
        if owner in seen:
            continue
        seen.add(owner)
        for name, part in _arguments(owner):
            family = _family(part, packages)
            if family is not None:
                families[name] = family
                waiting += [family, *_below(family)]
            elif isinstance(part, type) and is_dataclass(part):
                waiting.append(part)  # settings, which may have slots of their own
    return dict(sorted(families.items()))


def slot_names(prefix: str, module: nn.Module) -> dict[str, str]:
    """Return the class names of all parts of `module` that fill slots, including nested slots, by path.

    A part is an attribute with the same name as the argument of its slot. A subclass has the slots of its base classes
    too.

    Args:
        prefix: path of the module itself, which precedes those of its parts.
        module: assembled module.
    """
    names: dict[str, str] = {}
    owners = [kind for kind in type(module).__mro__ if "__init__" in vars(kind)]
    for slot, hint in (argument for owner in owners for argument in _arguments(owner)):
        path = f"{prefix}.{slot}"
        if path not in names and _family(hint, ("components.",)) is not None:
            part = getattr(module, slot)
            names |= {path: type(part).__name__} | slot_names(path, part)
    return names

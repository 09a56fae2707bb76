"""Seeded changes of bytes and of JSON-like values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**70, 0.5, -0.0, "", " ", "null", "x" * 5000, "\u202e\x1b[31m", "../../x", "a\nb",
    [], [None], {}, {"": None}, [[[[]]]], {"a": {"b": {"c": 1}}},
)  # fmt: skip


def flipped(random: Random, content: bytes) -> tuple[bytes, str]:
    """Flip one bit to three."""
    changed, places = bytearray(content), sorted(random.sample(range(len(content)), random.randint(1, 3)))
    for place in places:
        changed[place] ^= 1 << random.randrange(8)
    return bytes(changed), f"bits flipped in bytes {places}"


def cut(random: Random, content: bytes) -> tuple[bytes, str]:
    """Cut the end off."""
    size = random.randrange(len(content))
    return content[:size], f"cut to {size} of {len(content)} bytes"


def zeroed(random: Random, content: bytes) -> tuple[bytes, str]:
    """Put zeros where a block was."""
    start, size = random.randrange(len(content)), random.choice((1, 16, 512, 4096))
    size = min(size, len(content) - start)
    return content[:start] + bytes(size) + content[start + size :], f"{size} zeros at byte {start}"


def without_block(random: Random, content: bytes) -> tuple[bytes, str]:
    """Leave a block out."""
    start, size = random.randrange(len(content)), random.choice((1, 7, 256, 2048))
    return content[:start] + content[start + size :], f"{size} bytes left out at {start}"


def with_block(random: Random, content: bytes) -> tuple[bytes, str]:
    """Put a block of noise in."""
    start, size = random.randrange(len(content) + 1), random.choice((1, 7, 256))
    return content[:start] + random.randbytes(size) + content[start:], f"{size} bytes of noise put in at {start}"


BYTES: tuple[Callable[[Random, bytes], tuple[bytes, str]], ...] = (flipped, cut, zeroed, without_block, with_block)


def changed_bytes(random: Random, content: bytes) -> tuple[bytes, str]:
    """Change bytes in one of the ways above."""
    return random.choice(BYTES)(random, content)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


def changed_value(random: Random, value: Any) -> tuple[Any, str]:
    """Replace, remove, rename or repeat one value somewhere inside a JSON value."""
    changed = copy.deepcopy(value)
    path = random.choice(places(changed)[1:])
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    key, where = path[-1], "/".join(map(str, path))
    ways = ["replace", "remove", *(["repeat"] if isinstance(parent, list) else ["rename"])]
    match random.choice(ways):
        case "replace":
            parent[key] = random.choice(ODD_VALUES)
            return changed, f"{where} is {parent[key]!r:.40}"
        case "remove":
            del parent[key]
            return changed, f"without {where}"
        case "repeat":
            parent.insert(key, copy.deepcopy(parent[key]))
            return changed, f"{where} twice"
        case _:
            parent[f"{key}x"] = parent.pop(key)
            return changed, f"{where} is called {key}x"


def with_key_twice(random: Random, value: Any) -> tuple[str, str]:
    """Return the JSON of a value in which one object has a key twice, with another value first."""
    objects = [path for path in places(value) if isinstance(at(value, path), dict) and at(value, path)]
    path = random.choice(objects)
    key = random.choice(list(at(value, path)))
    marker = "\u0000twice"
    changed = copy.deepcopy(value)
    owner = at(changed, path)
    items = list(owner.items())
    owner.clear()
    owner |= {marker: random.choice(("other", 7, None)), **dict(items)}
    return json.dumps(changed).replace(json.dumps(marker), json.dumps(key), 1), f"key {key!r} twice"


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path."""
    for key in path:
        value = value[key]
    return value

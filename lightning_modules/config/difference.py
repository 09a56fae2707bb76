"""The difference of two configurations, one line per key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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

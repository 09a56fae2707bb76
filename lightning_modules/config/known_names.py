"""Clearer messages for common mistakes: an unknown class, a missing experiment or argument, a wrong `${...}`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from omegaconf.errors import OmegaConfBaseException

UNKNOWN_NAME = re.compile(r"Expected a dot import path string: (?P<name>\S+)")
EXPLAINED = re.compile(
    r"(?P<unknown>unknown \w+ '[^'\n]*') \((?P<key>[\w.]+)\)(?P<known>; known: .*?)(\. Got value: .*)?$", re.M
)
REQUIRED = "the following arguments are required: "
NEEDED = re.compile(
    r"given class_path '[\w.]*?(?P<name>\w+)':\s+the following arguments are required: (?P<names>[\w, ]+)"
)
KEY = re.compile(r'Parser key "(?P<key>[\w.]+)"')


def explain(message: str, families: Mapping[str, type]) -> str:
    """Return a message of the parser, replaced by a clearer one for a common mistake.

    For an unknown class, it lists the names for that slot: `unknown local_encoding 'NoLSTE'
    (model.encoder.init_args.local_encoding); known: LSTE, NoLocalEncoding`. A part has a parser of its own, which only
    knows the key within the part.

    Args:
        message: message of the parser.
        families: slot -> family of the classes that can be named in it.
    """
    if message.startswith(REQUIRED) and "model.encoder" in message:
        return f"{message}; give an experiment, such as --config experiments/full.yaml"
    explained = EXPLAINED.search(message)
    if explained is not None:  # by the parser of a part; the message of the parser of the whole surrounds it
        parts = [match["key"] for match in KEY.finditer(message, 0, explained.start())][-1:]
        return f"{explained['unknown']} ({'.init_args.'.join([*parts, explained['key']])}){explained['known']}"
    unknown, missing = UNKNOWN_NAME.search(message), NEEDED.search(message)
    if missing is not None and (keys := KEY.findall(message, 0, missing.start())):
        return f"{keys[-1]}: {missing['name']} needs {missing['names'].strip()}"
    if unknown is None:
        return message
    keys = [match["key"] for match in KEY.finditer(message, 0, unknown.start())]
    if not keys:
        return message
    from components.registry import members  # here, since it imports torch

    slot = keys[-1].rsplit(".", 1)[-1]
    if slot not in families:
        return message
    names = [name for name in members(families[slot]) if not name.startswith("_")]
    close = difflib.get_close_matches(unknown["name"], names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown {slot} {unknown['name']!r} ({'.'.join(keys)}); known: {', '.join(names)}{hint}"


def explain_interpolation(error: OmegaConfBaseException, verbs: Iterable[str]) -> str:
    """Return which setting has a `${...}` that cannot be resolved, and which forms are allowed."""
    verb, _, key = str(error.full_key).partition(".")
    place = key if verb in verbs else str(error.full_key)
    return (
        f"{place}: {str(error).splitlines()[0]}; ${{...}} holds oc.env:NAME or oc.env:NAME,DEFAULT, and in a file also "
        "the path of another setting, such as data.init_args.canvas, or `here`, the folder of the file"
    )

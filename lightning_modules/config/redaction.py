"""Removes secrets from command lines, configurations and texts that are stored with results or models."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

HIDDEN = "***"
_BETWEEN = "\0"  # separates arguments: an option and its value may be two
# Our options take no secrets, but those of loggers may, and users make mistakes.
_NAMED = re.compile(r"((?:key|secret|password|passwd|token)[\"']?\s*[=:\0]\s*[\"']?)(?!--)[^\s\"',}\0]+", re.IGNORECASE)
_NAME = re.compile(r"(?:key|secret|password|passwd|token)$", re.IGNORECASE)
_BY_FORM = re.compile(r"\b(?:sk-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|AKIA[A-Z0-9]{16})")
_IN_ADDRESS = re.compile(r"(://)[^/\s\0@]+@")


def as_typed(arguments: Sequence[str]) -> str:
    """Return the arguments of a command as one line for a shell, with `***` for anything like a secret."""
    line = _by_form_hidden(_NAMED.sub(rf"\g<1>{HIDDEN}", _BETWEEN.join(arguments)))
    return shlex.join(line.split(_BETWEEN))


@contextmanager
def words_without_secrets() -> Iterator[None]:
    """Hide secrets in the words of this process for a moment, for libraries that store them as they are."""
    words = sys.argv
    sys.argv = shlex.split(as_typed(words))
    try:
        yield
    finally:
        sys.argv = words


def without_secrets(value: Any) -> Any:
    """Return a text, or a configuration of nested mappings and lists, with `***` for anything like a secret.

    Secrets are recognised by their keys, by the form of known services' keys, and as passwords in addresses.
    """
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if isinstance(item, str) and _NAME.search(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return _by_form_hidden(value) if isinstance(value, str) else value


def _by_form_hidden(text: str) -> str:
    return _IN_ADDRESS.sub(rf"\g<1>{HIDDEN}@", _BY_FORM.sub(HIDDEN, text))

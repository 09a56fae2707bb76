"""The command line as it is kept with results: as it was typed, without secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

HIDDEN = "***"
_BETWEEN = "\0"  # words, of which an option and its value may be two
# No option of ours takes a secret; a logger's may, or a word that was typed by mistake.
_NAMED = re.compile(r"((?:key|secret|password|passwd|token)[\"']?\s*[=:\0]\s*[\"']?)(?!--)[^\s\"',}\0]+", re.IGNORECASE)
_BY_FORM = re.compile(r"\b(?:sk-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|AKIA[A-Z0-9]{16})")
_IN_ADDRESS = re.compile(r"(://)[^/\s\0@]+@")


def as_typed(words: Sequence[str]) -> str:
    """Return the words of a command as one line for a shell, with `***` for what looks like a secret."""
    line = _NAMED.sub(rf"\g<1>{HIDDEN}", _BETWEEN.join(words))
    line = _IN_ADDRESS.sub(rf"\g<1>{HIDDEN}@", _BY_FORM.sub(HIDDEN, line))
    return shlex.join(line.split(_BETWEEN))

"""Texts of others on their way to a terminal or a page."""

from __future__ import annotations

import re

# All control characters but tab and line feed, line ends and turns of direction of Unicode, and half characters.
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return `text` with `\x1b` and the like for what would steer a terminal or turn the text of a page around."""
    return _NOT_SHOWN.sub(lambda character: character[0].encode("unicode_escape").decode(), text)

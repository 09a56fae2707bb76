"""Words as LaTeX prints them."""

from __future__ import annotations

_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escaped(words: str) -> str:
    """Return words in which no character means anything to LaTeX."""
    return "".join(_SPECIAL.get(character, character) for character in words)

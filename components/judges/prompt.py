"""What a model is asked that judges: texts in files, with places for question, reference and prediction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from components.judges.base import Aspect, Comparison

FOLDER = Path(__file__).with_name("prompts")
NEEDED = ("question", "reference", "prediction")
PLACES = (*NEEDED, "second_question", "second_prediction")
_PLACE = re.compile(rf"\{{({'|'.join(PLACES)})\}}")
_DIVISION = re.compile(r"^---[ \t]*$\n?", re.MULTILINE)


@dataclass(frozen=True)
class Messages:
    """What a model is told: who it is, which may be nothing, and what to do."""

    system: str
    user: str


class JudgePrompt:
    """The texts of this package, one for right or wrong and one per aspect; or the text of a file for everything.

    In a file, a line `---` divides the system's message from the user's; without it, all is the user's.
    """

    def __init__(self, file: str | None = None) -> None:
        """Read the texts.

        Raises:
            ValueError: the file cannot be read, lacks a place or has one that is not known.
        """
        names: list[Aspect | None] = [None, *Aspect]
        self._texts = {
            aspect: _read(Path(file) if file else FOLDER / f"{aspect or 'answer'}.txt", named=file is not None)
            for aspect in names
        }

    @property
    def text(self) -> str:
        """All texts that differ, in a fixed order: what the identity of a judge has the hash of."""
        return "\n\f\n".join(dict.fromkeys(self._texts.values()))

    def messages(self, comparison: Comparison) -> Messages:
        """Put a comparison into its text; what looks like a place within an answer stays as it is.

        Raises:
            ValueError: the text has no place for the second answer, and consistency is asked for.
        """
        text = self._texts[comparison.aspect]
        if comparison.aspect is Aspect.CONSISTENCY and "{second_prediction}" not in text:
            raise ValueError("the prompt has no {second_prediction}, without which no consistency can be judged")
        places = {name: getattr(comparison, name) or "" for name in PLACES}
        parts = [_PLACE.sub(lambda place: places[place[1]], part).strip() for part in _DIVISION.split(text, maxsplit=1)]
        return Messages("" if len(parts) == 1 else parts[0], parts[-1])


def _read(path: Path, named: bool) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt {path} cannot be read: {error}") from error
    missing = [f"{{{name}}}" for name in NEEDED if f"{{{name}}}" not in text]
    if missing:
        raise ValueError(f"prompt {path} has no place for {', '.join(missing)}")
    unknown = sorted(set(re.findall(r"\{(\w+)\}", text)) - set(PLACES))
    if named and unknown:
        raise ValueError(f"prompt {path} has {{{unknown[0]}}}; known are {', '.join(f'{{{n}}}' for n in PLACES)}")
    return text

"""The question families, the possible answers of each, and how balanced answers are dealt to clips.

Answers are dealt like cards: every k clips in a row have each of a family's k answers exactly once, in an order of that
family's own. So every prefix of a split is balanced, families are independent of each other, and clip i keeps its
answers however many clips a split has. Only `order` and `moment`, which ask about the same two flashes, depend on each
other: in half of the clips, whatever is asked, their answers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from datamodules.shapes_in_motion.settings import random_stream

Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (215.0, 45.0, 45.0),
    "green": (45.0, 175.0, 60.0),
    "blue": (45.0, 75.0, 225.0),
    "yellow": (230.0, 210.0, 45.0),
    "purple": (165.0, 50.0, 190.0),
    "cyan": (55.0, 205.0, 215.0),
}
SHAPES = ("circle", "square", "triangle", "cross")
COUNTS = ("one", "two", "three")
STATIONS = ("card", "light tile", "dark tile")
TEXTURES = ("plain", "horizontal", "vertical", "checkered")
POSITIONS = ("top left", "top right", "bottom left", "bottom right")

ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "count": COUNTS,
    "path": STATIONS,
    "blink": tuple(COLOURS),
    "order": tuple(COLOURS),
    "moment": tuple(COLOURS),
    "texture": TEXTURES,
    "position": POSITIONS,
}
"""Families and their possible answers."""

FAMILIES = tuple(ANSWERS)
FLASH_ENDS = ("first", "last")
TILES = ("light", "dark")


@dataclass(frozen=True)
class Answers:
    """What is right to say about one clip, known before anything is drawn.

    Attributes:
        by_family: the right answer of each family.
        asked_flash: "first" or "last": which of the two flashes `order` asks about.
        asked_tile: "light" or "dark": which of the two tiles `texture` asks about.
    """

    by_family: dict[str, str]
    asked_flash: str
    asked_tile: str


def deal_answers(seed: int, split: str, index: int) -> Answers:
    """Return the answers of clip `index` of a split.

    Raises:
        ValueError: an unknown split or a negative seed.
    """
    by_family = {
        family: _deal(choices, seed, split, deck, index) for deck, (family, choices) in enumerate(ANSWERS.items())
    }
    by_family["moment"] = _moment(by_family["order"], seed, split, index)
    asked = (
        _deal(choices, seed, split, len(ANSWERS) + deck, index) for deck, choices in enumerate((FLASH_ENDS, TILES))
    )
    return Answers(by_family, *asked)


def _moment(order: str, seed: int, split: str, index: int) -> str:
    """Return the colour of the flash that hides the marker: in half of every deal that which `order` asks about.

    The other half of the colours pass on to one another in a circle, so that this family is balanced too.
    """
    colours = ANSWERS["moment"]
    deal = index // len(colours)
    circle = [colours[card] for card in _shuffled(len(colours), seed, split, FAMILIES.index("moment"), deal)]
    circle = circle[: len(colours) // 2]
    return circle[(circle.index(order) + 1) % len(circle)] if order in circle else order


def _deal(choices: tuple[str, ...], seed: int, split: str, deck: int, index: int) -> str:
    round_number, turn = divmod(index, len(choices))
    return choices[_shuffled(len(choices), seed, split, deck, round_number)[turn]]


@lru_cache(maxsize=64)
def _shuffled(cards: int, seed: int, split: str, deck: int, round_number: int) -> tuple[int, ...]:
    return tuple(random_stream(seed, split, 0, deck, round_number).permutation(cards).tolist())

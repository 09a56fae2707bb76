"""The question families, the possible answers of each, and how balanced answers are assigned to clips.

Answers are dealt like cards: k consecutive clips have each of a family's k answers exactly once, in a separate random
order for each family. So every prefix of a split is balanced, families are independent of each other, and clip i keeps
its answers however many clips a split has. Only `order` and `moment`, which ask about the same two flashes, depend on
each other: in half of the clips their answers are equal.
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
"""The possible answers of each question family."""

FAMILIES = tuple(ANSWERS)
FLASH_ENDS = ("first", "last")
TILES = ("light", "dark")


@dataclass(frozen=True)
class Answers:
    """The right answers about one clip, chosen before anything is drawn.

    Attributes:
        by_family: right answer of each family.
        asked_flash: flash that `order` asks about, "first" or "last".
        asked_tile: tile that `texture` asks about, "light" or "dark".
    """

    by_family: dict[str, str]
    asked_flash: str
    asked_tile: str


def deal_answers(seed: int, split: str, index: int) -> Answers:
    """Return the answers of clip `index` of a split.

    Raises:
        ValueError: the split is unknown or the seed negative.
    """
    by_family = {
        family: _deal(choices, seed, split, deck, index) for deck, (family, choices) in enumerate(ANSWERS.items())
    }
    by_family["moment"] = _moment(by_family["order"], seed, split, index)
    flash, tile = (
        _deal(choices, seed, split, len(ANSWERS) + deck, index) for deck, choices in enumerate((FLASH_ENDS, TILES))
    )
    return Answers(by_family, flash, tile)


def _moment(order: str, seed: int, split: str, index: int) -> str:
    """Return the colour of the flash that hides the marker: in half of every deal, the one that `order` asks about.

    In the other half, the colours are rotated by one, so that this family is balanced too.
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

"""The questions about a scene, in several phrasings.

Several phrasings per family keep a model from matching one fixed string. All words come from here and from
`answers.ANSWERS`, so a tokenizer can be checked against, or trained on, all texts of the benchmark.
"""

from __future__ import annotations

import re

import numpy as np

from datamodules.shapes_in_motion.answers import ANSWERS, FAMILIES, Answers

PHRASINGS: dict[str, tuple[str, ...]] = {
    "colour": (
        "What colour is the card?",
        "Which colour does the card have?",
        "Name the colour of the card.",
        "What is the colour of the square card?",
    ),
    "shape": (
        "What shape is the pink marker?",
        "Which shape does the marker have?",
        "Name the shape of the pink marker.",
        "What is the shape of the marker?",
    ),
    "count": (
        "How many dots are there?",
        "Count the dots.",
        "What is the number of dots?",
        "How many orange dots do you see?",
    ),
    "path": (
        "Where does the disc go to?",
        "Where does the moving disc end?",
        "What does the disc move to?",
        "What is the disc going to?",
    ),
    "blink": (
        "Which colour blinks?",
        "What colour is the lamp that blinks?",
        "Of two lamps one blinks: which colour?",
        "Name the colour of the blinking lamp.",
    ),
    "order first": (
        "Which colour flashes first?",
        "What is the colour of the first flash?",
        "There are two flashes: which colour comes first?",
    ),
    "order last": (
        "Which colour flashes last?",
        "What is the colour of the last flash?",
        "There are two flashes: which colour comes last?",
    ),
    "moment": (
        "Which colour flashes while the marker is hidden?",
        "What is the colour of the flash that hides the marker?",
        "What colour is the flash without the marker?",
        "The marker is hidden once: which colour flashes then?",
    ),
    "texture light": (
        "What pattern is on the light tile?",
        "Which pattern does the light tile have?",
        "Name the texture of the light tile.",
        "What is the texture of the light tile?",
    ),
    "texture dark": (
        "What pattern is on the dark tile?",
        "Which pattern does the dark tile have?",
        "Name the texture of the dark tile.",
        "What is the texture of the dark tile?",
    ),
    "position": (
        "Where is the marker?",
        "In which part of the picture is the marker?",
        "Name the position of the marker.",
        "In which corner do you see the marker?",
    ),
}
"""The phrasings of each family; of `order` and `texture`, separately for each flash and each tile."""


def question(answers: Answers, family: str, rng: np.random.Generator) -> tuple[str, str]:
    """Return a question of one family about a clip, and its lower-case answer.

    Args:
        answers: right answers about the clip.
        family: question family, one of `FAMILIES`.
        rng: random number generator that chooses the phrasing.

    Raises:
        ValueError: the family does not exist.
    """
    if family not in ANSWERS:
        raise ValueError(f"question family {family!r} does not exist; choose from {', '.join(FAMILIES)}")
    objects = {"order": answers.asked_flash, "texture": answers.asked_tile}
    phrasings = PHRASINGS[f"{family} {objects[family]}" if family in objects else family]
    return phrasings[rng.integers(len(phrasings))], answers.by_family[family]


def all_texts() -> tuple[str, ...]:
    """Return every question and every answer that can occur."""
    questions = [text for phrasings in PHRASINGS.values() for text in phrasings]
    choices = dict.fromkeys(choice for choices in ANSWERS.values() for choice in choices)
    return (*questions, *choices)


def vocabulary() -> tuple[str, ...]:
    """Return all words that occur, lower-case and sorted."""
    return tuple(sorted({word for text in all_texts() for word in re.findall(r"[a-z]+", text.lower())}))

"""The questions about a scene, in several phrasings, and the records of generated clips.

Several phrasings per family keep a model from matching one fixed string. All words come from here and from
`answers.ANSWERS`, so a tokenizer can be checked against, or trained on, all texts of the benchmark. Training shows a
clip once with several turns, so that few clips carry many answers; evaluation asks one question at a time, so that no
earlier answer gives a hint.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from datamodules.answer_kind import FreeAnswer
from datamodules.records.record import Record, Turn
from datamodules.shapes_in_motion.answers import ANSWERS, FAMILIES, Answers, deal_answers
from datamodules.shapes_in_motion.files import build_split
from datamodules.shapes_in_motion.settings import SceneSettings, random_stream

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


def training_records(
    root: Path, clips: int, turns_per_record: int, settings: SceneSettings, seed: int, workers: int
) -> list[Record]:
    """Return the training records: one question of every family about each clip, in random order.

    Args:
        root: folder of all generated clips.
        clips: number of clips.
        turns_per_record: number of questions in a record; a clip has as many records as needed.
        settings: appearance of the scenes.
        seed: seed of all clips and questions.
        workers: number of processes that render and encode.

    Raises:
        ValueError: a number is out of range, or no scene can satisfy the settings.
        OSError: the clips cannot be written.
    """
    if not 1 <= turns_per_record <= len(FAMILIES):
        raise ValueError(f"`turns_per_record` must be within 1..{len(FAMILIES)}; got {turns_per_record}")
    records = []
    for index, path in enumerate(build_split(root, "train", clips, settings, seed, workers)):
        answers, rng = deal_answers(seed, "train", index), random_stream(seed, "train", 2, index)
        families = [FAMILIES[i] for i in rng.permutation(len(FAMILIES))]
        turns = [Turn(*question(answers, family, rng)) for family in families]
        for number, start in enumerate(range(0, len(turns), turns_per_record)):
            part = tuple(turns[start : start + turns_per_record])
            records.append(Record(f"train/{index:06d}/{number}", path, part))
    return records


def question_records(
    root: Path, split: str, questions_per_family: int, settings: SceneSettings, seed: int, workers: int
) -> list[Record]:
    """Return the records of a split for scoring: one question of every family about each clip, one per record.

    The answers of each family are balanced in the whole split and in every prefix of it.

    Args:
        root: folder of all generated clips.
        split: "validation" or "test", or "train" to measure memorisation.
        questions_per_family: number of questions of each family, which is also the number of clips.
        settings: appearance of the scenes.
        seed: seed of all clips and questions.
        workers: number of processes that render and encode.

    Raises:
        ValueError: a number is out of range, the split is unknown, or no scene can satisfy the settings.
        OSError: the clips cannot be written.
    """
    if questions_per_family < 1:
        raise ValueError(f"questions per family (of split {split!r}) must be at least 1; got {questions_per_family}")
    records, kinds = [], {family: FreeAnswer(candidates) for family, candidates in ANSWERS.items()}
    for index, path in enumerate(build_split(root, split, questions_per_family, settings, seed, workers)):
        answers = deal_answers(seed, split, index)
        rng = random_stream(seed, split, 2, index)
        for family in FAMILIES:
            turn = Turn(*question(answers, family, rng))
            records.append(Record(f"{split}/{index:06d}/{family}", path, (turn,), family, kinds[family]))
    return records

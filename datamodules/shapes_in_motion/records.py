"""Generated clips as records: conversations for training and questions for scoring.

Training shows a clip once with several turns, so that few clips carry many answers; evaluation asks one question at a
time, so that no earlier answer gives a hint.
"""

from __future__ import annotations

from pathlib import Path

from datamodules.answer_kind import FreeAnswer
from datamodules.records.record import Record, Turn
from datamodules.shapes_in_motion.answers import ANSWERS, FAMILIES, deal_answers
from datamodules.shapes_in_motion.files import build_split
from datamodules.shapes_in_motion.questions import question
from datamodules.shapes_in_motion.settings import SceneSettings, random_stream


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

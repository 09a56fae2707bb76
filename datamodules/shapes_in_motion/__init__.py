"""ShapesInMotion: generated clips with known answers, in question families that test different parts of an encoder."""

from datamodules.shapes_in_motion.answers import ANSWERS, FAMILIES, Answers, deal_answers
from datamodules.shapes_in_motion.files import build_split
from datamodules.shapes_in_motion.questions import all_texts, question, question_records, training_records, vocabulary
from datamodules.shapes_in_motion.render import render
from datamodules.shapes_in_motion.scene import Scene, sample_scene
from datamodules.shapes_in_motion.settings import SPLITS, SceneSettings

__all__ = [
    "ANSWERS",
    "FAMILIES",
    "SPLITS",
    "Answers",
    "Scene",
    "SceneSettings",
    "all_texts",
    "build_split",
    "deal_answers",
    "question",
    "question_records",
    "render",
    "sample_scene",
    "training_records",
    "vocabulary",
]

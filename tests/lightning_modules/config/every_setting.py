"""Every class that a YAML can name under `model` and `data`, its settings as the parser has them, and small values."""

import collections.abc
import inspect
import typing
from dataclasses import is_dataclass
from functools import cache

from jsonargparse import ArgumentError, ArgumentParser

from components.registry import members
from components.teachers.teacher import Untrained
from datamodules.benchmarks import NExTQuestions, OneType
from datamodules.records import Source
from datamodules.video_text import VideoTextDataModule
from lightning_modules import experiment_cli  # noqa: F401  (imports every class that a YAML can name)
from lightning_modules.config.parsed_settings import takes
from lightning_modules.video_language import VideoLanguageModel

OURS = ("components.", "datamodules.", "lightning_modules.")
# What is given to a class so that it can be built, and quickly: by the name of the setting, or for one class alone.
GIVEN = {"width": 16, "dropout": 0.5, "llm_width": 16, "llm_layers": 2, "teacher_width": 16, "chunk_frames": 4,
         "input_width": 16, "output_width": 16, "patch_size": 4, "heads": 2, "layers": 2, "image_size": 16,
         "canvas": 28, "weights": Untrained(width=16, layers=2, heads=2), "names": {"1": "what"}, "words": ["what"],
         "types": OneType(), "count": 2}  # fmt: skip
VICUNA, EVE = "lmsys/vicuna-7b-v1.5", "BAAI/EVE-7B-Pretrain-v1.0"
RELEASED = {"width": 1024, "patch_size": 14, "name_or_path": "openai/clip-vit-large-patch14"}
MIXED = {split: [Source("a.json")] for split in ("train", "val", "test")}
OWN = {
    "Stage": dict.fromkeys(("encoder", "projector", "language_model", "distillation"), 1e-3),
    "CosineDistillation": {"layers": None},
    "MSEDistillation": {"layers": None},
    "PretrainedCLIP": RELEASED,
    "PretrainedLanguageBind": RELEASED | {"name_or_path": "LanguageBind/LanguageBind_Video_merge"},
    "PretrainedCausalLM": {"name_or_path": VICUNA},
    "EVECausalLM": {"name_or_path": EVE},
    "ShapesInMotion": {"train_clips": 2, "val_questions_per_family": 1, "test_questions_per_family": 1},
    "TorchvisionTeacher": {"architecture": "mobilenet_v2", "layer": "features.13", "weights": None, "canvas": 32},
    "Benchmark": {"questions": NExTQuestions("q.csv")},
    "MixedConversations": MIXED | {"media_root": "clips"},
}
PARTS_OF_DATA = ("sampler", "shown_frames", "frame_cache", "bad_media")  # which a data module only keeps


def _families(hint, given=0):
    """Yield the families that a type takes classes of, and how many sizes whoever builds them hands over."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is collections.abc.Callable:
        yield from _families(arguments[1], len(arguments[0]))
    elif isinstance(hint, type) and hint.__module__.startswith(OURS):
        yield hint, given
    for part in arguments if typing.get_origin(hint) is not collections.abc.Callable else ():
        yield from _families(part, given)


@cache
def settings():
    """Return class -> names of its settings, for every class that a slot takes and every class of plain settings."""
    kinds, waiting = {}, [(VideoLanguageModel, 0), *((kind, 0) for kind in members(VideoTextDataModule).values())]
    while waiting:
        kind, given = waiting.pop()
        if kind in kinds or not (is_dataclass(kind) or takes(kind)) or hasattr(kind, "__members__"):
            continue
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(kind, "it", skip={given} if given else None)
        kinds[kind] = sorted(
            {key.split(".")[1] for key in vars(parser.get_defaults().as_flat()) if key.startswith("it.")}
        )
        for name in kinds[kind]:
            for family, sizes in _families(takes(kind)[name][0]):
                waiting += [(member, sizes) for member in members(family).values()]
    return kinds


def parsed(hint, value):
    """Return `value` as the parser takes it for a type, in a list; an empty list if it refuses it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=hint)
    try:
        return [parser.parse_object({"it": value}).it]
    except ArgumentError:
        return []


def arguments(kind):
    """Return what a class is built with, all small."""
    parameters, taken = inspect.signature(kind).parameters, takes(kind)
    parameters = {*parameters, *settings()[kind]}  # its own, and those that it hands on
    given = dict(OWN.get(kind.__name__, {}))
    for name in [name for name in taken if name not in given and name in parameters]:
        if name in GIVEN or name in PARTS_OF_DATA:
            given[name] = GIVEN.get(name)
        elif taken[name][1] is inspect.Parameter.empty:
            given[name] = "there"
    return given

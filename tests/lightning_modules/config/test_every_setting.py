"""Null, zero, negative, infinite, no number and nothing, for every setting that a YAML can reach under model and data.

What the parser or the class refuses is one line that names the setting; what they take is trained with.
"""

import math
import typing
from collections.abc import Mapping

import pytest
import torch
import yaml

from datamodules.benchmarks import Benchmark
from datamodules.benchmarks.benchmark import VideoFiles
from datamodules.benchmarks.question_file import QuestionFile
from datamodules.records import Source, mix
from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.parsed_settings import check_settings, takes
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.config.every_setting import arguments, parsed, settings

VALUES = (0, -1, math.inf, -math.inf, math.nan, "", [])
# What is taken, and trained with in the runs below.
TRAINED = {
    "dropout": (0.0,),  # nothing is dropped
    "fill_up_to": (0,),  # there are the tokens of the frames that there are
    "workers": (0,),  # in the main process
    "weight": (0.0,),  # distillation is measured and not learnt from
    "share": (0.0,),  # nothing is augmented
    "max_share": (0.0,),  # no clip may be left out
    "noise": (0.0,),
    "colour_jitter": (0.0,),
    "texture_contrast": (0.0,),
    "jitter": (0.0,),
    "layer": (0, -1),  # counted from the end
    "output_layer": (-1,),
    "warmup": (0.0,),
    "weight_decay": (0.0,),
    "encoder": (0.0,),  # frozen
    "projector": (0.0,),
    "language_model": (0.0,),
    "distillation": (0.0,),
    "seed": (0, -1),
    "clips_seed": (0,),
    "system": ("",),  # a prompt that opens with the question
}
# What has no use there, and is taken so that a scale goes with any class of the slot.
UNUSED = {("CLIPFrames", "dropout"), ("LanguageBindVideo", "dropout")}
UNUSED |= {("NoTeacher", name) for name in ("weights", "layer", "canvas")}
# What is taken because it is as good as any other value, and where it is tried.
AS_ANY_OTHER = {
    ("VideoQA", "max_missing_share"): (0.0,),  # the default
    ("VideoQA", "seed"): (0, -1),  # as of every data module
    ("Source", "repeat_seed"): (0, -1),  # as `seed`
    ("Source", "name"): ("",),  # then it is called like its file
    ("Benchmark", "videos"): ("",),  # its clips lie in the folder of all benchmarks
    ("FirstWord", "words"): ([],),  # every question is of the type `other`
    **{("FixedFormat", name): ("",) for name in ("opening", "next_turn", "answer_cue")},  # as ShortPrompt has it
}
TINY = {"layers": 2, "heads": 2, "image_size": 36}
RUNS = {
    "frozen": {
        "model": {
            "encoder": {"init_args": {"dropout": 0}},
            "language_model": {"init_args": {"adapter": {"class_path": "LoRA", "init_args": {"dropout": 0}}}},
            "teacher": {"init_args": {"layer": -1}},
            "distillation": {"init_args": {"weight": 0}},
            "stage": {"encoder": 0, "projector": 0, "warmup": 0},
        },
        "data": {
            "init_args": {
                "scene": {"noise": 0, "colour_jitter": 0, "texture_contrast": 0, "jitter": 0},
                "bad_media": {"class_path": "SubstituteBadMedia", "init_args": {"max_share": 0, "seed": -1}},
                "train_records": {"class_path": "RandomShare", "init_args": {"seed": 0}},
                "augmentation": {"class_path": "HorizontalFlip", "init_args": {"share": 0}},
                "workers": 0,
                "clips_seed": 0,
            }
        },
    },
    "towers": {
        "model": {
            "encoder": {
                "class_path": "CLIPFrames",
                "init_args": {
                    "dropout": math.nan,
                    "fill_up_to": 0,
                    "tower": {"class_path": "CLIPViT", "init_args": TINY | {"output_layer": -1}},
                },
            },
            "language_model": {"init_args": {"prompt": {"class_path": "VicunaV1", "init_args": {"system": ""}}}},
            "teacher": {"class_path": "NoTeacher", "init_args": {"weights": "", "layer": 0, "canvas": -1}},
            "distillation": "NoDistillation",
            "stage": {"language_model": 0, "weight_decay": 0},
        },
        "data": {
            "init_args": {"train_records": {"class_path": "RandomRecords", "init_args": {"count": 2, "seed": -1}}}
        },
    },
    "teacher": {
        "model": {
            "encoder": {
                "class_path": "LanguageBindVideo",
                "init_args": {"dropout": -1, "tower": {"class_path": "LanguageBindViT", "init_args": TINY}},
            },
            "teacher": {"class_path": "DINOv2Teacher", "init_args": {"layer": 0, "canvas": 72}},
            "stage": {"distillation": 0},
        },
    },
}  # fmt: skip

CASES = [(kind, name) for kind, names in settings().items() for name in names if kind is not VideoLanguageModel]


def refused(build, device="meta"):
    """Return what is said in one line against building something; None if it is built."""
    try:
        with torch.device(device):
            build()
    except ValueError as error:
        assert "\n" not in str(error)
        return str(error)
    return None


def check(kind, name, value):
    """Look at a setting as the command line does between parsing and building."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    check_settings(kind, {"class_path": path, "init_args": {name: value}}, "it")


def read(made, name, folder):
    """Read what a class of data has only been told the name or the number of."""
    if isinstance(made, QuestionFile):
        made.read(folder)
    elif isinstance(made, Source):
        mix([made], str(folder))
    elif isinstance(made, Benchmark):
        VideoFiles(folder, made.video_name)
    elif isinstance(made, VideoTextDataModule):
        made.records("val" if name.startswith("val") else "test" if name.startswith("test") else "train")


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_a_value_that_cannot_be_is_refused_in_one_line(kind, name, tmp_path):
    hint, default = takes(kind)[name]
    fine = TRAINED.get(name, ()) + AS_ANY_OTHER.get((kind.__name__, name), ())
    device = "cpu" if kind.__name__ == "InternVideo2Teacher" else "meta"  # its sizes are known without its weights
    for value in [taken for given in VALUES for taken in parsed(hint, given)]:
        given = arguments(kind) | {name: value}
        refusal = refused(lambda value=value: check(kind, name, value))
        refusal = refusal or refused(lambda given=given: kind(**given), device)
        if refusal is None and value not in fine and (kind.__name__, name) not in UNUSED:
            refusal = refused(lambda given=given: read(kind(**given), name, tmp_path))
            assert refusal is not None, f"{kind.__name__}({name}={value!r}) is taken"
        # What is empty may be said of the place that it leads to.
        assert refusal is None or value in ("", []) or name in refusal
    null = refused(lambda: check(kind, name, None))
    may_be = default is None or type(None) in typing.get_args(hint)
    assert null is None if may_be else null.startswith(f"it.init_args.{name} is null; it must be of type ")


def set_in(config):
    """Yield class and name of every setting in a parsed configuration, and its value."""
    for name, value in config.items():
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, Mapping):
                yield from set_in(item)
        yield name, value


@pytest.mark.parametrize("experiment", RUNS)
def test_what_is_taken_is_trained_with(experiment, run, tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump(RUNS[experiment]))
    cli = run("fit", "--config=experiments/full.yaml", f"--config={file}", "--trainer.fast_dev_run=true")
    assert cli.trainer.global_step == 1 and torch.isfinite(cli.trainer.callback_metrics["train/loss"])


def test_every_value_that_is_taken_is_in_one_of_these_runs():
    used = {(name, str(float(value) if isinstance(value, int) else value)) for name, value in set_in(RUNS)
            if not isinstance(value, Mapping | list)}  # fmt: skip
    taken = {(name, str(float(value) if isinstance(value, int) else value)) for name, values in TRAINED.items()
             for value in values}  # fmt: skip
    assert taken <= used


def test_every_setting_that_the_command_line_prints_is_tried(capsys):
    """The walk goes by the constructors' types: it must not miss what the parser knows."""
    files = ("experiments/full.yaml", "configs/data/real_clips_mixed.yaml", "configs/adapter/lora.yaml")
    with pytest.raises(SystemExit):
        ExperimentCLI(["fit", *(f"--config={file}" for file in files), "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    walked = {(kind.__name__, name) for kind, names in settings().items() for name in names}
    assert walked >= set(classes_in("VideoLanguageModel", printed["model"])) | set(classes_in("", printed["data"]))


def classes_in(kind, config):
    """Yield class and name of every setting that is printed."""
    if "class_path" in config:
        yield from classes_in(config["class_path"].rpartition(".")[2], config.get("init_args") or {})
        return
    for name, value in config.items():
        yield kind, name
        below = {"stage": "Stage", "scene": "SceneSettings", "weights": "Untrained"}.get(name, "Source")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield from classes_in(below, item)

"""Null, zero, negative, infinite and no number, for every setting: it works with it, or there is one line."""

import inspect
import math
import types
import typing

import pytest
import torch
from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch import callbacks as lightning_callbacks

from components.registry import members, slots
from components.teachers.untrained import Untrained
from datamodules.shapes_in_motion.settings import SceneSettings
from datamodules.video_text import VideoTextDataModule
from lightning_modules.stage import Stage
from lightning_modules.trainer_options import REFUSED_CALLBACKS, building_trainer, check_trainer
from lightning_modules.video_language import VideoLanguageModel

# What the parts above give, and sizes at which a part is quick to build.
GIVEN = {"width": 16, "dropout": 0.5, "llm_width": 16, "llm_layers": 2, "teacher_width": 16, "chunk_frames": 4,
         "input_width": 16, "output_width": 16, "patch_size": 4, "heads": 2, "layers": 2, "image_size": 16,
         "frames": 8, "canvas": 28}  # fmt: skip
# Settings that are right for some of these values, and why.
MAY_BE = {
    "dropout": {0.0},  # nothing is dropped
    "fill_up_to": {0},  # there are the tokens of the frames that there are
    "workers": {0},  # in the main process
    "weight": {0.0},  # distillation is measured and not learnt from
    "frame_weight": {0.0},  # the video context alone
    "share": {0.0},  # nothing is augmented
    "max_share": {0.0},  # no clip may be left out
    "max_missing_share": {0.0},
    "noise": {0.0},
    "colour_jitter": {0.0},
    "texture_contrast": {0.0},
    "tile_tone": {0.0},
    "layer": {0, -1},  # counted from the end
    "output_layer": {-1},
    "warmup": {0.0},
    "weight_decay": {0.0},
    "encoder": {0.0},  # frozen
    "projector": {0.0},
    "language_model": {0.0},
    "distillation": {0.0},
    "seed": {0, -1},
    "clips_seed": {0, -1},  # what is negative is refused with the first clip
}
NOT_USED = {("NoTeacher", "canvas"), ("CLIPFrames", "dropout"), ("LanguageBindVideo", "dropout")}
# Refused when the clips are made, in the line that test_bad_input has.
LATER = {"train_clips", "turns_per_record", "val_questions_per_family", "test_questions_per_family"}
BAD = {int: (0, -1), float: (0.0, -1.0, math.inf, -math.inf, math.nan)}


def classes():
    """Return every class that a YAML can name in a slot of model or data, and those of settings."""
    families = {**slots(VideoLanguageModel), **slots(VideoTextDataModule)}.values()
    found = {kind for family in families for kind in members(family).values()}
    return sorted(found | {SceneSettings, Stage, Untrained, *members(VideoTextDataModule).values()}, key=str)


def numbers(kind):
    """Return name -> type of the settings of `kind` that are numbers."""
    hints = typing.get_type_hints(kind.__init__)
    for name, hint in hints.items():
        parts = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
        number = next((part for part in parts if part in BAD), None)
        if number is not None:
            yield name, number


def arguments(kind):
    """Return what `kind` needs to be built, small; None if that is more than numbers."""
    if issubclass(kind, VideoTextDataModule):
        return None
    given = {}
    for name, parameter in list(inspect.signature(kind).parameters.items()):
        if name == "weights":
            given[name] = Untrained(width=16, layers=2, heads=2, patch_size=14)
        elif name in dict(numbers(kind)) and name in GIVEN:
            given[name] = GIVEN[name]
        elif kind is Stage and name in ("encoder", "projector", "language_model", "distillation"):
            given[name] = 1e-3
        elif parameter.default is inspect.Parameter.empty and name not in dict(numbers(kind)):
            return None
    return given


def refused(build, **values):
    """Return whether building says in one line why not; any other error is one of the test."""
    try:
        with torch.device("meta"):
            build(**values)
    except ValueError as error:
        assert "\n" not in str(error)
        return True
    return False


def by_its_parent(kind, name):
    """Return whether whoever builds a part gives it this, so that a YAML cannot."""
    required = inspect.signature(kind).parameters[name].default is inspect.Parameter.empty
    return name in GIVEN and (required or (name == "dropout" and kind.__module__.startswith("components.stab.")))


CASES = [
    (kind, name, number)
    for kind in classes()
    if arguments(kind) is not None
    for name, number in numbers(kind)
    if not by_its_parent(kind, name) and name not in LATER and (kind.__name__, name) not in NOT_USED
]


@pytest.mark.parametrize(("kind", "name", "number"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_number_out_of_range_is_refused_where_it_is_set(kind, name, number):
    for value in BAD[number]:
        if value not in MAY_BE.get(name, ()):
            assert refused(kind, **arguments(kind) | {name: value}), f"{kind.__name__}({name}={value}) is taken"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"canvas": -1}, "canvas is -1"),
        ({"workers": -1}, "workers is -1"),
    ],
)
def test_data_settings_are_refused(settings, said):
    needed = {"canvas": 28} | dict.fromkeys(("sampler", "shown_frames", "frame_cache", "bad_media"))
    with pytest.raises(ValueError, match=said):
        members(VideoTextDataModule)["ShapesInMotion"](**needed | settings)


OPTIONS = {name: parameter.default for name, parameter in inspect.signature(Trainer).parameters.items()}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_trainer_is_built_with_any_value_or_refuses_it_in_one_line(name, tmp_path):
    allowed = str(typing.get_type_hints(Trainer.__init__)[name])  # the parser refuses other types
    for value in (None, 0, -1, math.inf, -math.inf, math.nan, "nonsense"):
        if type(value).__name__ not in allowed.replace("print", "").replace("dict[str, int]", ""):
            continue
        options = OPTIONS | {"accelerator": "cpu", "devices": 1, "logger": False, "default_root_dir": tmp_path}
        options |= {"max_epochs": 1, name: value}
        try:
            check_trainer(given := Namespace(**options))
            with building_trainer():
                Trainer(**given.as_dict())
        except ValueError as error:
            assert "\n" not in str(error) and "trainer" in str(error)


WORKS = {"DeviceStatsMonitor", "EMAWeightAveraging", "EarlyStopping", "LearningRateMonitor", "ModelCheckpoint",
         "ModelSummary", "OnExceptionCheckpoint", "RichModelSummary", "RichProgressBar", "SpikeDetection",
         "TQDMProgressBar", "ThroughputMonitor", "WeightAveraging"}  # fmt: skip


def test_every_callback_of_lightning_is_known_to_work_or_refused():
    assert WORKS | REFUSED_CALLBACKS.keys() == set(lightning_callbacks.__all__)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trainer.callbacks+=LearningRateFinder"], "LearningRateFinder, which cannot work here: it finds one rate"),
        (["--trainer.barebones=true"], "trainer.barebones is true"),
        (["--trainer.accelerator=tpu"], "trainer cannot be built: "),
        (["--config=configs/trainer/fsdp.yaml", "--trainer.sync_batchnorm=true"], "trainer.sync_batchnorm is true"),
        (
            [
                "--trainer.strategy=ddp",
                "--trainer.devices=1",
                "--trainer.sync_batchnorm=true",
                "--model.encoder.local_encoding=LSTE",
            ],
            "trainer.sync_batchnorm is true, which torch can do on GPUs only",
        ),
        (["--trainer.val_check_interval=100"], "trainer: `val_check_interval` (100) must be"),
        (["--model.stage.encoder=.nan"], "model.stage.encoder is nan; it must be"),
        (["--model.max_new_tokens=0"], "model.max_new_tokens is 0; it must be a positive number"),
        (["--model.language_model.heads=0"], "model.language_model.init_args.heads is 0; it must be"),
    ],
)
def test_what_cannot_work_is_one_line(fails, tiny, tmp_path, arguments, said):
    status, error = fails("fit", "--config=experiments/no_lste.yaml", *tiny, f"--runs={tmp_path}", *arguments)
    assert status == 1 and error.strip().splitlines()[-1].startswith("error: ") and said in error


def test_a_training_that_diverges_stops_before_figures_and_weights_are_lost(fails, tiny, tmp_path):
    status, error = fails("fit", "--config=experiments/no_lste.yaml", *tiny, f"--runs={tmp_path}",
                          "--model.stage.encoder=1e30", "--trainer.max_epochs=4",
                          "--trainer.log_every_n_steps=1")  # fmt: skip
    assert status == 1 and "at step" in error and "the training has diverged" in error
    folder = tmp_path / "no_lste" / "seed_0"
    assert not (folder / "summary.json").exists() and not (folder / "checkpoints" / "last.ckpt").exists()
    cells = (folder / "metrics.csv").read_text().replace("\n", ",").split(",")
    assert not {"nan", "inf", "-inf"} & {cell.lower() for cell in cells}

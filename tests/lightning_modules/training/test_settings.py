"""Options of the Trainer, and trainings that diverge: it works, or there is one line."""

import inspect
import math
import typing

import pytest
from jsonargparse import Namespace
from lightning import Trainer

from lightning_modules.training.trainer_options import building_trainer, check_trainer

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


@pytest.mark.parametrize(
    ("arguments", "message"),
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
        (["--trainer.max_epochs=0"], "trainer.max_epochs is 0, with which nothing would be trained"),
        (["--trainer.max_epochs=null", "--trainer.max_time=00:01:00:00"], "trainer.max_epochs is null and"),
        (["--model.encoder.width=null"], "model.encoder.init_args.width is null; it must be of type int"),
        (["--trainer.callbacks.every_n_steps=null"], "every_n_steps is null; it must be of type int"),
        (["--trainer.callbacks+=SamplePanel", "--trainer.callbacks.frames=0"], "SamplePanel.frames is 0; it must"),
        (["--model.stage.encoder=.nan"], "model.stage.encoder is nan; it must be"),
        (["--model.max_new_tokens=0"], "model.max_new_tokens is 0; it must be a positive number"),
        (
            ["--model.language_model=TinyLlama", "--model.language_model.heads=0"],
            "model.language_model.init_args.heads is 0; it must be",
        ),
    ],
)
def test_what_cannot_work_is_one_line(fails, tiny, tmp_path, arguments, message):
    status, error = fails("fit", "--config=experiments/no_lste.yaml", *tiny, f"--runs={tmp_path}", *arguments)
    assert status == 1 and error.strip().splitlines()[-1].startswith("error: ") and message in error


def test_a_training_that_diverges_stops_before_figures_and_weights_are_lost(fails, tiny, tmp_path):
    status, error = fails("fit", "--config=experiments/no_lste.yaml", *tiny, f"--runs={tmp_path}",
                          "--model.stage.encoder=1e30", "--trainer.max_epochs=4",
                          "--trainer.log_every_n_steps=1")  # fmt: skip
    assert status == 1 and "at step" in error and "the training has diverged" in error
    folder = tmp_path / "no_lste" / "seed_0"
    assert not (folder / "summary.json").exists() and not (folder / "checkpoints" / "last.ckpt").exists()
    cells = (folder / "metrics.csv").read_text().replace("\n", ",").split(",")
    assert not {"nan", "inf", "-inf"} & {cell.lower() for cell in cells}

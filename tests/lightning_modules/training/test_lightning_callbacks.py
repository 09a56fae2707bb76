"""Lightning's callbacks in a run: those that work do what they are for, and all others are refused in one line."""

import csv
import inspect
import json
import logging
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch import callbacks as lightning_callbacks

from lightning_modules.training.trainer_options import REFUSED_CALLBACKS, check_trainer
from tests.lightning_modules.short_run import NO_LSTE

SUMMARY = "lightning.pytorch.callbacks.model_summary"  # the logger that it writes with
HERE = "tests.lightning_modules.training.test_lightning_callbacks"
EVERY_STEP = ("--trainer.log_every_n_steps=1", "--trainer.check_val_every_n_epoch=1", "--trainer.max_epochs=3")
SHOWN = ("--trainer.enable_progress_bar=true", "--trainer.enable_model_summary=true")
# In one run, as far as they go together: of bars, summaries and averages a run has one.
TOGETHER = {
    "DeviceStatsMonitor": {"cpu_stats": True},
    "EMAWeightAveraging": {"decay": 0.5},
    "EarlyStopping": {"monitor": "val/loss", "stopping_threshold": 1e9},
    "LambdaCallback": {"on_fit_start": f"{HERE}.note"},
    "LearningRateMonitor": {"logging_interval": "epoch"},
    "ModelCheckpoint": {"monitor": "val/loss", "filename": "best"},
    "ModelSummary": {"max_depth": 2},
    "TQDMProgressBar": {},
    "ThroughputMonitor": {"batch_size_fn": f"{HERE}.samples"},
}
# In another, which they end: every loss is a spike to the one that watches for these.
SPIKING = {
    "RichModelSummary": {"max_depth": 2},
    "RichProgressBar": {},
    "SpikeDetection": {"warmup": 1, "atol": 0.0, "rtol": 0.0, "mode": "max"},
    "WeightAveraging": {},
}
TRAINER = {name: parameter.default for name, parameter in inspect.signature(Trainer).parameters.items()}


def note(trainer, module):
    Path(trainer.default_root_dir, "noted.txt").write_text(type(module).__name__)


def samples(batch):
    return len(batch.samples)


def config(folder, callbacks):
    """Write a file that lists callbacks, and return the argument that names it."""
    listed = [{"class_path": name, "init_args": settings} for name, settings in callbacks.items()]
    last = {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 100}}
    file = folder / "callbacks.yaml"
    file.write_text(yaml.safe_dump({"trainer": {"callbacks": [last, *listed]}}))
    return f"--config={file}"


def test_every_callback_of_lightning_works_here_or_is_refused():
    works = TOGETHER.keys() | SPIKING.keys() | {"OnExceptionCheckpoint"}
    assert works | REFUSED_CALLBACKS.keys() == set(lightning_callbacks.__all__) and not works & REFUSED_CALLBACKS.keys()


def test_those_that_work_do_what_they_are_for(run, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO, logger=SUMMARY)
    monitored = logging.getLogger(SUMMARY)
    monitored.addHandler(caplog.handler)
    cli = run("fit", *NO_LSTE, config(tmp_path, TOGETHER), "--name=together", *EVERY_STEP, *SHOWN)
    monitored.removeHandler(caplog.handler)
    shown = capsys.readouterr().out + caplog.text
    with (cli.folder / "metrics.csv").open() as file:
        columns = set(csv.DictReader(file).fieldnames)
    assert "DeviceStatsMonitor.on_train_batch_end/cpu_percent" in columns and "lr-AdamW/encoder" in columns
    assert {"train/samples", "validate/samples", "test/samples"} <= columns
    assert cli.trainer.current_epoch == 1  # stopped early
    assert (cli.folder / "noted.txt").read_text() == "VideoLanguageModel"
    assert "encoder.patch_embedding" in shown and "Testing DataLoader 0" in shown
    best, last = (
        torch.load(cli.folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    name = "projector.layers.0.weight"
    averaged, trained = best["state_dict"][name], best["current_model_state"][name]
    assert best["global_step"] == last["global_step"] == 2 and not torch.equal(averaged, trained)
    assert torch.equal(last["state_dict"][name], cli.model.state_dict()[name])  # what was tested
    assert json.loads((cli.folder / "summary.json").read_text())["steps"] == 2


def test_a_spike_ends_a_run_in_one_line_with_what_was_learnt_before(fails, tiny, tmp_path, capsys):
    kept = {"OnExceptionCheckpoint": {"dirpath": str(tmp_path / "kept")}}
    quiet = [word for word in tiny if "enable" not in word]
    status, error = fails("fit", *NO_LSTE, *quiet, config(tmp_path, SPIKING | kept), f"--runs={tmp_path}",
                          "--name=spiking", *EVERY_STEP, *SHOWN)  # fmt: skip
    folder = tmp_path / "spiking" / "seed_0"
    assert status == 1 and error.splitlines()[-1] == "error: trainer: Training spike detected in batch 1"
    assert json.loads((folder / "skip_batches.json").read_text()) == [0, 1]
    checkpoint = torch.load(tmp_path / "kept" / "on_exception.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 and "averaging_state" in checkpoint  # of WeightAveraging
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("name", sorted(REFUSED_CALLBACKS))
def test_those_that_cannot_work_are_refused_in_one_line(name):
    callback = Namespace(class_path=f"lightning.pytorch.callbacks.{name}", init_args=Namespace())
    with pytest.raises(ValueError, match=f"^trainer.callbacks has {name}, which cannot work here: .*[^\n]$"):
        check_trainer(Namespace(TRAINER | {"callbacks": [callback]}))


@pytest.mark.long
def test_a_batch_size_that_is_searched_for_is_none_of_the_experiment(run, tmp_path, monkeypatch):
    """Why BatchSizeFinder is refused: it trains with a size that the run's config.yaml does not have."""
    monkeypatch.delitem(REFUSED_CALLBACKS, "BatchSizeFinder")
    finder = {"BatchSizeFinder": {"mode": "binsearch", "max_trials": 2, "steps_per_trial": 1}}
    cli = run("fit", *NO_LSTE, config(tmp_path, finder), "--trainer.max_steps=1", "--test_after_fit=false",
              "--trainer.limit_val_batches=0")  # fmt: skip
    written = yaml.safe_load((cli.folder / "config.yaml").read_text())["data"]["init_args"]["batch_size"]
    assert written == 2 and cli.datamodule.batch_size == 3

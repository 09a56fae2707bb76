"""Lightning's callbacks in a run: those that work do what they are there for, and all others are refused in one line."""

import csv
import json

import pytest
import torch
import yaml
from lightning.pytorch import callbacks as lightning_callbacks

from lightning_modules.cli import main
from lightning_modules.trainer_options import REFUSED_CALLBACKS
from tests.lightning_modules.short_run import NO_LSTE, losses

EVERY_STEP = ("--trainer.log_every_n_steps=1", "--trainer.check_val_every_n_epoch=1", "--trainer.max_epochs=3")
SHOWN = ("--trainer.enable_progress_bar=true", "--trainer.enable_model_summary=true")
COUNTED = "tests.lightning_modules.test_lightning_callbacks.samples"
# In one run, as far as they go together: of bars, summaries and averages a run has one.
TOGETHER = {
    "DeviceStatsMonitor": {"cpu_stats": True},
    "EMAWeightAveraging": {"decay": 0.5},
    "EarlyStopping": {"monitor": "val/loss", "stopping_threshold": 1e9},
    "LearningRateMonitor": {"logging_interval": "epoch"},
    "ModelCheckpoint": {"monitor": "val/loss", "filename": "best"},
    "ModelSummary": {"max_depth": 2},
    "OnExceptionCheckpoint": {"dirpath": "kept"},
    "TQDMProgressBar": {},
    "ThroughputMonitor": {"batch_size_fn": COUNTED},
}
SPIKING = {
    "OnExceptionCheckpoint": {"dirpath": "kept"},
    "RichModelSummary": {"max_depth": 2},
    "RichProgressBar": {},
    "SpikeDetection": {"warmup": 1, "atol": 0.0, "rtol": 0.0},
    "WeightAveraging": {},
}


def samples(batch):
    return len(batch.samples)

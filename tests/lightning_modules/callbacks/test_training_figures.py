"""Clips per second are those of all devices, of which each counts its own."""

from dataclasses import fields
from types import SimpleNamespace

from lightning_modules.callbacks import Throughput
from lightning_modules.training.model_input import ModelInput

SAMPLES = 3
EMPTY = {field.name: None for field in fields(ModelInput)} | {"samples": [None] * SAMPLES}


def rate(is_real):
    """Return what a device logs of a batch that took a second, and how it is joined with those of others."""
    logged = {}
    module = SimpleNamespace(log=lambda name, value, **how: logged.update({name: (value, how)}))
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=1, world_size=2)
    throughput = Throughput()
    throughput.on_train_start(trainer, module)
    throughput.mark -= 1
    trainer.global_step = 1
    throughput.on_train_batch_end(trainer, module, None, ModelInput(**EMPTY | {"is_real": is_real}), 0)
    return logged["speed/clips_per_second"]


def test_devices_add_up_and_one_with_a_stand_in_adds_nothing():
    own, how = rate(is_real=True)
    assert 0 < own <= SAMPLES and how == {"sync_dist": True, "reduce_fx": "sum"}
    assert rate(is_real=False)[0] == 0

"""Configs of full size take a step: those of the encoder as they are, language models and teachers small stand-ins."""

import math
import shlex
from pathlib import Path

import pytest

from lightning_modules.training.stage import Stage
from tests.components.eve_folder import save_eve
from tests.components.tiny_networks import save_tiny_network
from tests.guides import commands

PAPER = ("--config=experiments/full.yaml", "--config=configs/scale/paper.yaml")
FAMILY = {
    "vicuna_7b": "llama",
    "qwen2_5_7b": "qwen2",
    "qwen3_8b": "qwen3",
    "llama3_1_8b": "llama",
    "phi3_mini": "phi3",
    "mistral_7b": "mistral",
    "gemma2_9b": "gemma2",
    "eve_7b": "eve",
    "smollm2_135m": "llama",
    "smollm2_360m": "llama",
    "qwen3_0_6b": "qwen3",
}
LANGUAGE_MODELS = sorted(Path("configs/llm").glob("*.yaml"))


SHOWN = [arguments for arguments in commands("python -m lightning fit") if "scale/paper" in arguments]
TABLE_6 = {
    "align": (4e-4, 0.0, 2048, 0.03, "RandomShare"),
    "integrate": (4e-5, 4e-5, 2048, 0.01, "AllRecords"),
    "instruct": (2e-5, 2e-5, 1024, 0.01, "AllRecords"),
}


def stand_in(folder, family="llama"):
    made = save_eve(folder) if family == "eve" else save_tiny_network(family, folder, max_length=2048)
    return f"--model.language_model.name_or_path={made}"


def test_the_paper_takes_a_step(run, tmp_path):
    cli = run("fit", *PAPER, stand_in(tmp_path), "--model.teacher.weights={width: 16, layers: 2, heads: 2}",
              "--data.sampler.frames=2", "--data.batch_size=1", "--data.workers=0", "--model.stage.global_batch=1",
              "--trainer.precision=32-true", "--trainer.fast_dev_run=1")  # fmt: skip
    assert cli.trainer.global_step == 1
    stab = sum(parameter.numel() for parameter in cli.model.encoder.parameters())
    assert stab == 45_066_578 - 20_979_712  # with a projector to 4096 it is the first number
    batch = next(iter(cli.datamodule.train_dataloader()))
    assert batch.clips.shapes.canvas == (32, 32) and batch.teacher_clips.shapes.canvas == (16, 16)


@pytest.mark.parametrize(("stage", "expected"), TABLE_6.items(), ids=TABLE_6.keys())
def test_the_paper_trains_by_table_6(resolved, stage, expected):
    config = resolved("fit", *PAPER, f"--config=configs/stage/{stage}.yaml")
    actual = Stage(**config["model"]["stage"])
    assert actual.encoder == actual.projector == actual.distillation == expected[0]
    assert (actual.language_model, actual.global_batch, actual.warmup) == expected[1:4]
    assert (actual.weight_decay, actual.betas) == (0.0, (0.9, 0.999))
    assert config["data"]["init_args"]["train_records"]["class_path"].endswith(expected[4])
    assert config["trainer"]["max_epochs"] == 1


@pytest.mark.parametrize("arguments", SHOWN)
def test_a_training_of_the_guides_is_understood(resolved, arguments):
    config = resolved("fit", *shlex.split(arguments))
    assert config["data"]["init_args"]["canvas"] == 448
    assert config["model"]["language_model"]["init_args"]["name_or_path"].count("/") == 1


@pytest.mark.parametrize("config", LANGUAGE_MODELS, ids=lambda path: path.stem)
def test_a_language_model_goes_with_the_full_model(run, tmp_path, config):
    cli = run("fit", "--config=experiments/full.yaml", f"--config={config}", "--trainer.fast_dev_run=1",
              stand_in(tmp_path / "model", FAMILY[config.stem]))  # fmt: skip
    assert cli.trainer.global_step == 1
    assert cli.model.component_names()["language_model.prompt"] in config.read_text()


SMALL = ("--config=experiments/full.yaml", "--config=configs/scale/small.yaml")


def test_the_small_scale_takes_a_step(run, tmp_path):
    cli = run("fit", *SMALL, stand_in(tmp_path), "--model.teacher.weights={width: 16, layers: 2, heads: 2}",
              "--data.sampler.frames=2", "--data.batch_size=1", "--data.workers=0", "--model.stage.global_batch=1",
              "--trainer.precision=32-true", "--trainer.fast_dev_run=1")  # fmt: skip
    assert cli.trainer.global_step == 1
    assert cli.model.component_names()["language_model.prompt"] == "ChatTemplate"
    assert next(iter(cli.datamodule.train_dataloader())).clips.shapes.canvas == (16, 16)


@pytest.mark.parametrize("adapter", [(), ("--config=configs/adapter/lora.yaml",), ("--config=experiments/lora.yaml",)])
def test_the_small_scale_has_rates_for_pretrained_weights_and_for_adapters(resolved, adapter):
    config = resolved("fit", *SMALL, *adapter)["model"]
    assert Stage(**config["stage"]).language_model == (2e-4 if adapter else 5e-5)
    assert Stage(**config["stage"]).encoder == Stage(**config["stage"]).projector == 4e-4
    assert config["max_new_tokens"] == 128


@pytest.mark.parametrize(("stage", "steps"), {"align": 188, "integrate": 188, "instruct": 94}.items())
def test_a_stage_of_the_small_scale_has_steps_enough_for_6000_samples(resolved, stage, steps):
    config = resolved("fit", *SMALL, f"--config=configs/stage/{stage}.yaml")
    share = config["data"]["init_args"]["train_records"].get("init_args", {}).get("share", 1)
    rates = Stage(**config["model"]["stage"])
    assert math.ceil(6000 * share * config["trainer"]["max_epochs"] / rates.global_batch) == steps
    assert (rates.language_model == 0) == (stage == "align") and rates.language_model <= 5e-5

"""A trained full model in the official format; of any other model it is said what does not fit."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.official.folder import read_tensors
from lightning_modules.cli import main
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.short_run import NO_LSTE, SHORT

FULL = ("--config=experiments/full.yaml",)
SHOWN = re.findall(
    r"^(?:video-panda (export.*)|python -m lightning (test .*models/full.*))$",
    Path("docs/weights.md").read_text(),
    re.M,
)
STEP = ("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false")


@pytest.fixture
def exported(run, tmp_path):
    """Train a step and export."""

    def export_run(*arguments, family="llama", options=()):
        folder = save_tiny_network(family, tmp_path / "base", max_length=2048)
        language_model = ("--config=configs/llm/qwen2_5_7b.yaml", f"--model.language_model.name_or_path={folder}")
        first = run("fit", *FULL, *STEP, *language_model, *arguments)
        main(["export", str(first.folder), "--out", str(tmp_path / "ours"), *options])
        return tmp_path / "ours"

    return export_run


def test_there_and_back_is_the_same_to_the_bit(exported, tmp_path, capsys):
    ours = exported()
    main(["export-official", str(ours), "--out", str(tmp_path / "official")])
    main(["import-official", str(tmp_path / "official"), "--out", str(tmp_path / "again")])
    assert "unused, kept for the way back: 1 tensors: video_tower.lmhra1" in capsys.readouterr().out
    weights, again = (load_file(folder / "weights.safetensors") for folder in (ours, tmp_path / "again"))
    assert again.keys() == {name for name in weights if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.items())
    first, second = (read_tensors(folder / "language_model") for folder in (ours, tmp_path / "again"))
    assert first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    main(["export-official", str(tmp_path / "again"), "--out", str(tmp_path / "once more")])
    official, once_more = (read_tensors(tmp_path / name) for name in ("official", "once more"))
    assert official.keys() == once_more.keys()
    assert all(torch.equal(tensor, once_more[name]) for name, tensor in official.items())
    assert torch.equal(official["model.vision_tower.balance"], official["model.video_tower.balance"])
    assert "model.video_tower_compressor.input_layer.weight" in official
    config = json.loads((tmp_path / "official" / "config.json").read_text())
    assert config["video_hidden_size"] == 96 and config["architectures"] == ["VideoPandaLlamaForCausalLM"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["--model.encoder.fusion=FixedFusion"], {}, "model.encoder.fusion: LearnedFusion -> FixedFusion"),
        (["--model.encoder.chunk_frames=8"], {}, "model.encoder.chunk_frames: 4 -> 8"),
        (["--model.distillation.layers=[0,3]"], {}, "model.distillation.layers: None -> [0, 3]"),
        (["--config=configs/adapter/lora.yaml"], {}, "model.language_model.adapter: NoAdapter -> SavedAdapter"),
        ([], {"family": "qwen2"}, "is of the family 'qwen2'; the official model has a Llama"),
    ],
    ids=["component", "option", "head", "adapter", "family"],
)
def test_another_model_is_refused(exported, fails, tmp_path, arguments, options, message):
    ours = exported(*arguments, **options)
    status, error = fails("export-official", str(ours), "--out", str(tmp_path / "official"))
    assert status == 1 and message in error
    assert not (tmp_path / "official").exists()


def test_a_merged_adapter_and_the_statistics_of_clips_fit(exported, tmp_path):
    statistics = "--model.encoder.local_encoding={class_path: LSTE, init_args: {statistics: ClipStatistics}}"
    ours = exported("--config=configs/adapter/lora.yaml", statistics, options=["--merge"])
    main(["export-official", str(ours), "--out", str(tmp_path / "official")])
    assert (tmp_path / "official" / "config.json").is_file()


@pytest.mark.long
def test_the_guide(run, exported, monkeypatch, tmp_path):
    exported("--name=full")
    monkeypatch.chdir(tmp_path)
    assert len(SHOWN) == 3
    for program, verb in SHOWN:
        main(shlex.split(program)) if program else run(*shlex.split(verb), "--trainer.limit_test_batches=1")
    assert (tmp_path / "models" / "full_official" / "config.json").is_file()


@pytest.mark.long
def test_a_toy_language_model_is_named(run, fails, tmp_path):
    finished = run("fit", *NO_LSTE, *SHORT, "--model.language_model=TinyLlama")
    main(["export", str(finished.folder), "--out", str(tmp_path / "ours")])
    status, error = fails("export-official", str(tmp_path / "ours"), "--out", str(tmp_path / "official"))
    assert status == 1
    assert "model.encoder.local_encoding: LSTE -> NoLocalEncoding" in error
    assert "model.language_model: PretrainedCausalLM -> TinyLlama" in error

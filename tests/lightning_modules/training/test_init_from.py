"""Weights of one run as the start of another."""

import pytest
import torch
from safetensors.torch import save_file

from components.encoders import CLIPFrames
from components.language_models import PretrainedCausalLM, TinyLlama
from components.stored_weights import read_stored, weights_in_files
from components.vision_transformers import PretrainedCLIP
from lightning_modules.training.checkpoint import CheckpointError
from lightning_modules.training.init_from import init_from
from lightning_modules.training.stage import Stage
from lightning_modules.video_language import VideoLanguageModel
from tests.components.clip_folder import save_clip
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.short_run import NO_LSTE, SHORT
from tests.lightning_modules.training.test_frozen_tower import SIZES

FULL = ("--config", "experiments/full.yaml")


@pytest.fixture
def weights(finished):
    return finished.folder / "checkpoints" / "last.ckpt"


@pytest.mark.long
def test_a_run_starts_from_the_weights_of_another_with_fresh_counters(run, weights, capsys):
    cli = run("fit", *NO_LSTE, "--trainer.max_steps=1", "--model.stage.encoder=0", f"--init_from={weights}")
    saved = torch.load(weights, weights_only=True)["state_dict"]
    frozen = [name for name in saved if name.startswith("encoder.") and "norm" not in name]
    ours = cli.model.state_dict()
    assert frozen and all(torch.equal(ours[name], saved[name]) for name in frozen)
    assert cli.trainer.global_step == 1
    output = capsys.readouterr().out
    assert f"init_from {weights}" in output and f"loaded: {len(saved)} tensors: distillation.head" in output
    assert "fresh: 0 tensors" in output
    assert f"init_from {weights}" in (cli.folder / "origin.txt").read_text()


@pytest.mark.long
def test_weights_of_another_variant_are_refused_unless_told_to(fails, run, weights, tiny, capsys):
    status, error = fails("validate", *FULL, *tiny, f"--init_from={weights}")
    assert status == 1 and "another variant" in error and "init_partially: true" in error
    assert "encoder.local_encoding: NoLocalEncoding -> LSTE" in error
    cli = run("validate", *FULL, f"--init_from={weights}", "--init_partially=true")
    output = capsys.readouterr().out
    fresh = [name for name in cli.model.state_dict() if name.startswith("encoder.local_encoding.")]
    assert f"fresh: {len(fresh)} tensors: encoder.local_encoding ({len(fresh)})" in output
    assert "ignored: 0 tensors" in output


@pytest.mark.long
def test_tensors_of_another_shape_are_named(fails, run, weights, tiny, capsys):
    status, error = fails("validate", *NO_LSTE, *tiny, f"--init_from={weights}", "--model.encoder.width=32")
    assert status == 1 and "[96] there, [32] here" in error and "more" in error
    run("validate", *NO_LSTE, f"--init_from={weights}", "--init_partially=true", "--model.encoder.width=32")
    output = capsys.readouterr().out
    assert "loaded: " in output and "ignored: " in output and "language_model.network" in output


def test_a_distillation_head_for_another_teacher_is_refused(fails, weights, tiny):
    status, error = fails("fit", *NO_LSTE, *tiny, f"--init_from={weights}", "--model.teacher.weights.width=64")
    assert status == 1 and "distillation.head.output.weight is [48, 48] there, [64, 64] here" in error


@pytest.mark.parametrize(
    ("file", "message"),
    [("no_such.ckpt", "does not exist"), ("last", "does not exist"), ("README.md", "is not a checkpoint")],
)
def test_a_file_that_is_none_is_refused(fails, tiny, file, message):
    status, error = fails("fit", *FULL, *tiny, f"--init_from={file}")
    assert status == 1 and f"init_from {file} {message}" in error


def test_a_run_that_goes_on_keeps_its_own_weights(run, finished, weights, capsys):
    cli = run("fit", *NO_LSTE, *SHORT, f"--init_from={weights}", f"--ckpt_path={weights}")
    assert cli.trainer.global_step == finished.trainer.global_step
    assert "not read: ckpt_path" in capsys.readouterr().out


def test_a_pretrained_tower_need_not_be_in_the_file_with_the_rest_of_its_encoder(tmp_path):
    folder = save_clip(tmp_path / "tower", **SIZES)
    encoder = CLIPFrames(96, 6, tower=lambda width, patch: PretrainedCLIP(width, patch, str(folder)))
    encoder.register_parameter("scale", torch.nn.Parameter(torch.zeros(1)))
    model = VideoLanguageModel(encoder, TinyLlama(width=16, heads=2), Stage(1.0, 1.0, 1.0, 1.0))
    save_file({"encoder.scale": torch.ones(1)}, tmp_path / "weights.safetensors")
    assert init_from(model, tmp_path / "weights.safetensors").loaded == ("encoder.scale",)
    assert float(encoder.scale) == 1 and encoder.tower.source == str(folder)
    save_file({"encoder.tower.norm.bias": torch.ones(96)}, tmp_path / "half.safetensors")
    with pytest.raises(CheckpointError, match=r"encoder\.tower\..* is absent there"):
        init_from(model, tmp_path / "half.safetensors")
    # What is no number is not taken over, and named.
    save_file({"encoder.scale": torch.tensor([float("inf")])}, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=r"init_from .*bad\.safetensors: encoder\.scale has NaN or infinite"):
        init_from(model, tmp_path / "bad.safetensors")
    assert float(encoder.scale) == 1


def test_weights_that_are_still_in_their_files_are_those_of_another_file_then(tmp_path):
    folder = save_tiny_network("llama", tmp_path / "llama")
    with weights_in_files(True):
        language_model = PretrainedCausalLM(folder)
    model = VideoLanguageModel(CLIPFrames(96, 14), language_model, Stage(1.0, 1.0, 1.0, 1.0))
    expected = {name: torch.randn(weight.shape) for name, weight in language_model.named_parameters()}
    save_file({f"language_model.{name}": weight for name, weight in expected.items()}, tmp_path / "new.safetensors")
    assert len(init_from(model, tmp_path / "new.safetensors").loaded) == len(expected)
    assert language_model.embed(torch.tensor([[1]])).isnan().all() and language_model.source is None
    read_stored(model, torch.device("cpu"))
    assert all(torch.equal(weight, expected[name]) for name, weight in language_model.named_parameters())

"""Checkpoints with frozen pretrained parts: small, whole again when loaded, never mixed up."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from components.fingerprint import sampled_fingerprint
from components.language_models import PretrainedCausalLM
from components.stored_weights import weights_in_files
from lightning_modules.programs.show import history, shown
from lightning_modules.training.checkpoint import CheckpointError
from lightning_modules.training.frozen_base import FrozenBase
from tests.components.eve_folder import save_eve
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.short_run import SHORT

FULL = ("--config=experiments/full.yaml", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1")
FROZEN = ("--model.stage.language_model=0",)


@pytest.fixture
def pretrained(tmp_path):
    folder = save_tiny_network("llama", tmp_path / "pretrained", max_length=2048)
    return ("--config=configs/llm/qwen2_5_7b.yaml", f"--model.language_model.name_or_path={folder}")


@pytest.fixture
def other(tmp_path, pretrained):
    folder = save_tiny_network("llama", tmp_path / "other", max_length=2048, seed=1)
    return (*pretrained[:1], f"--model.language_model.name_or_path={folder}")


def saved(cli):
    path = cli.folder / "checkpoints" / "last.ckpt"
    return path, torch.load(path, weights_only=True)


def samples(folder):
    network = AutoModelForCausalLM.from_pretrained(folder)
    return sampled_fingerprint(
        (str(place), tensor) for place, (_, tensor) in enumerate(network.named_parameters(remove_duplicate=False))
    )


def language_model_keys(content):
    return [name for name in content["state_dict"] if name.startswith("language_model.")]


def test_weights_that_are_still_in_their_files_are_recognised(pretrained, other):
    def frozen(settings, in_files):
        with weights_in_files(in_files):
            model = PretrainedCausalLM(settings[1].partition("=")[2], dtype="bfloat16")
        return FrozenBase({"language_model": model.requires_grad_(False)})

    loaded, unread, another = frozen(pretrained, False), frozen(pretrained, True), frozen(other, True)
    assert unread.origins() == loaded.origins()
    checkpoint = {"state_dict": {}}
    loaded.leave_out(checkpoint)
    assert len(unread.put_back(checkpoint, "init_from")) == 30
    with pytest.raises(CheckpointError, match="are others; name the same ones"):
        another.put_back(checkpoint, "init_from")


@pytest.mark.long
def test_a_frozen_language_model_is_named_and_not_saved(run, pretrained):
    frozen = run("fit", *FULL, *SHORT, *FROZEN, *pretrained)
    _, content = saved(frozen)
    assert language_model_keys(content) == []
    left_out = content["frozen_base"]["language_model"]
    assert left_out["source"] == pretrained[1].partition("=")[2]
    assert len(left_out["fingerprint"]) == 64 and len(left_out["tensors"]) == 30
    whole = run("fit", *FULL, *SHORT, *pretrained)
    _, trained = saved(whole)
    assert len(language_model_keys(trained)) == 30 and "frozen_base" not in trained
    began = {"source": left_out["source"], "tensors": 30, "sampled_sha256": samples(left_out["source"])}
    for cli, hashes in ((frozen, {"language_model": left_out["fingerprint"]}), (whole, {})):
        fit = history(cli.folder)[0]
        assert fit["base_weights"]["language_model"] == began and fit["frozen_sha256"] == hashes
    assert f"language_model: {began['source']}, 30 tensors, samples {began['sampled_sha256']}" in "\n".join(
        shown(whole.folder)
    )


@pytest.mark.long
def test_shared_embeddings_are_not_saved_either(run, pretrained, tmp_path):
    folder = save_tiny_network("gemma2", tmp_path / "gemma", max_length=2048)
    arguments = (*FULL, *FROZEN, *pretrained[:1], f"--model.language_model.name_or_path={folder}")
    path, content = saved(run("fit", *arguments, *SHORT))
    assert language_model_keys(content) == []
    run("test", *arguments, f"--ckpt_path={path}")


def test_a_language_model_from_a_seed_is_saved(run):
    _, content = saved(run("fit", *FULL, *SHORT, *FROZEN, "--model.language_model=TinyLlama"))
    assert language_model_keys(content) and "frozen_base" not in content


@pytest.mark.long
def test_a_run_goes_on_and_is_tested_with_the_same_language_model(run, pretrained):
    first = run("fit", *FULL, *SHORT, *FROZEN, *pretrained)
    path, _ = saved(first)
    again = run("test", *FULL, *FROZEN, *pretrained, f"--ckpt_path={path}")
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    longer = run("fit", *FULL, *SHORT, "--trainer.max_epochs=3", *FROZEN, *pretrained, f"--ckpt_path={path}")
    assert longer.trainer.global_step == first.trainer.global_step * 3 // 2  # a third epoch


@pytest.mark.long
@pytest.mark.parametrize("key", ["ckpt_path", "init_from"])
def test_another_language_model_is_refused(run, fails, tiny, pretrained, other, tmp_path, key):
    path, _ = saved(run("fit", *FULL, *SHORT, *FROZEN, *pretrained))
    status, error = fails("validate", *FULL, *tiny, *FROZEN, *other, f"--runs={tmp_path}", f"--{key}={path}")
    assert status == 1
    assert "was trained on the frozen weights of" in error and "name the same ones" in error


@pytest.mark.long
def test_the_next_stage_starts_from_it_and_saves_what_it_trains(run, pretrained, capsys):
    path, _ = saved(run("fit", *FULL, *SHORT, *FROZEN, *pretrained))
    capsys.readouterr()
    second = run("fit", *FULL, *SHORT, *pretrained, f"--init_from={path}")
    assert "as pretrained: 30 tensors: language_model.network (30)" in capsys.readouterr().out
    path, content = saved(second)
    assert len(language_model_keys(content)) == 30
    # A language model that has been trained is not that of its source any more, frozen again or not.
    third = run("fit", *FULL, *SHORT, *FROZEN, *pretrained, f"--init_from={path}")
    _, content = saved(third)
    assert len(language_model_keys(content)) == 30 and "frozen_base" not in content
    for name in language_model_keys(content):
        assert torch.equal(content["state_dict"][name], second.model.state_dict()[name]), name


@pytest.mark.long
def test_with_an_adapter_the_adapter_alone_is_saved(run, pretrained):
    lora = ("--config=configs/adapter/lora.yaml",)
    first = run("fit", *FULL, *SHORT, *pretrained, *lora)
    path, content = saved(first)
    names = language_model_keys(content)
    assert names and all("lora_" in name for name in names)
    began = history(first.folder)[0]["base_weights"]["language_model"]
    assert began["sampled_sha256"] == samples(began["source"])  # the same as without an adapter
    again = run("test", *FULL, *pretrained, *lora, f"--ckpt_path={path}")
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    frozen = run("fit", *FULL, *SHORT, *pretrained, *lora, *FROZEN, f"--init_from={path}")
    assert language_model_keys(saved(frozen)[1]) == names


@pytest.mark.long
def test_the_language_model_of_eve_is_left_out_and_what_came_with_it_is_said(run, tmp_path, capsys):
    folder = save_eve(tmp_path / "eve")
    eve = ("--config=configs/llm/eve_7b.yaml", f"--model.language_model.name_or_path={folder}")
    first = run("fit", *FULL, *SHORT, *FROZEN, *eve)
    line = "not used, stored with the language model: 6 tensors: model.mm_projector (1), model.vision_clip (1)"
    assert line in capsys.readouterr().out and line in (first.folder / "origin.txt").read_text()
    path, content = saved(first)
    assert language_model_keys(content) == [] and content["frozen_base"]["language_model"]["source"] == folder
    run("validate", *FULL, *FROZEN, *eve, f"--ckpt_path={path}")

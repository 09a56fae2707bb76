"""The tiny language model learns to read from symbols; the one that comes with the project can."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from lightning import seed_everything

from components.language_models import PretrainedCausalLM, PretrainedTinyLlama, ShortPrompt
from components.language_models import pretrained_tiny_llama as shipped
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from datamodules.shapes_in_motion import FAMILIES, SceneSettings, all_texts, sample_scene
from lightning_modules.cli import main
from lightning_modules.programs import pretrain_tiny as symbol_pretraining
from tests.lightning_modules.short_run import NO_LSTE

SCENE = SceneSettings()


def hashes(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_the_same_command_writes_the_same_bytes_and_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(symbol_pretraining, "EXAMINED", 2)
    for name in ("first", "second"):
        main(["pretrain-tiny", f"--out={tmp_path / name}", "--steps", "3", "--seed", "7"])
    assert hashes(tmp_path / "first") == hashes(tmp_path / "second")
    read = PretrainedCausalLM(str(tmp_path / "first"), ShortPrompt)
    assert (read.width, read.layers) == (64, 2)
    assert "--seed 7 --steps 3" in (tmp_path / "first" / "README.md").read_text()


@pytest.mark.long
def test_the_shipped_one_can_read():
    """A fresh table of symbols learns to speak to it, frozen, in few steps."""
    model = PretrainedTinyLlama()
    seed_everything(0, verbose=False)
    model.requires_grad_(False)
    _, loss = symbol_pretraining.pretrain(model, SCENE, symbol_pretraining.WINDOW, 3, steps=120)
    assert loss < 1.0  # one that was taught for 40 steps comes to 1.6, and random weights to 5.6


@pytest.mark.long
def test_a_run_begins_with_it_and_leaves_it_out_of_its_checkpoint_while_it_is_frozen(run):
    name = "--model.language_model=PretrainedTinyLlama"
    short = ("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false")
    cli = run("fit", *NO_LSTE, name, "--model.stage.language_model=0", *short)
    assert cli.origin.base_weights["language_model"]["source"] == "PretrainedTinyLlama"
    checkpoint = cli.folder / "checkpoints" / "last.ckpt"
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert kept and not any(key.startswith("language_model.") for key in kept)
    tested = run("test", *NO_LSTE, name, "--model.stage.language_model=0", f"--ckpt_path={checkpoint}")
    shipped_one = PretrainedTinyLlama().state_dict()
    assert all(
        torch.equal(tensor, shipped_one[key]) for key, tensor in tested.model.language_model.state_dict().items()
    )


def test_the_shipped_one_has_the_words_of_the_tokenizer_that_is_built():
    ours, built = PretrainedTinyLlama().text.tokenizer, build_tiny_tokenizer()
    assert ours.get_vocab() == built.get_vocab()
    for text in all_texts():
        assert ours(text).input_ids == built(text).input_ids


@pytest.mark.parametrize("name", shipped.SHA256)
def test_a_damaged_file_is_named(tmp_path, monkeypatch, name):
    folder = tmp_path / "tiny_llama"
    shutil.copytree(shipped.FOLDER, folder)
    monkeypatch.setattr(shipped, "FOLDER", folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*is not the file that came with this version"):
        PretrainedTinyLlama()
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name}.*cannot be read: No such file"):
        PretrainedTinyLlama()


def test_families_are_asked_about_only_where_the_frames_can_answer():
    asked = {count: set() for count in symbol_pretraining.FRAME_COUNTS}
    for index in range(40):
        scene = sample_scene(SCENE, 0, symbol_pretraining.SPLIT, index)
        for count, families in asked.items():
            rng = np.random.default_rng(index)
            turns = symbol_pretraining.lesson(scene, count, 0.0, symbol_pretraining.WINDOW, rng).turns
            families |= {family for family, _, _ in turns}
    assert asked[1] == set(FAMILIES) - {"path", "blink", "order", "moment"}
    assert asked[8] == set(FAMILIES)


@pytest.mark.parametrize("wrong", ["--steps=0", "--steps=-3", "--seed=-1", "--steps=many"])
def test_what_cannot_be_is_refused(fails, tmp_path, wrong):
    status, error = fails("pretrain-tiny", f"--out={tmp_path / 'out'}", wrong)
    assert status == 2 and wrong.partition("=")[0] in error and not (tmp_path / "out").exists()

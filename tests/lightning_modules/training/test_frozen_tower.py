"""Checkpoints without the frozen tower of an encoder, as they are without a frozen language model."""

import pytest
import torch

from tests.components.clip_folder import save_clip
from tests.lightning_modules.short_run import SHORT

SIZES = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"image_size": 36, "patch_size": 6}
FROZEN = ("--model.stage.encoder=0",)


def with_tower(folder, seed=0):
    """Arguments of a run whose encoder reads the tower in `folder`."""
    tower = {"class_path": "PretrainedCLIP", "init_args": {"name_or_path": str(save_clip(folder, seed, **SIZES))}}
    short = ("--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1")
    return ("--config=experiments/video_chatgpt.yaml", f"--model.encoder.tower={tower}", *short)


@pytest.fixture
def tower(tmp_path):
    return with_tower(tmp_path / "tower")


def saved(cli):
    path = cli.folder / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    return path, content, [name for name in content["state_dict"] if name.startswith("encoder.tower.")]


@pytest.mark.long
def test_a_frozen_tower_is_named_and_not_saved(run, tower, tmp_path):
    first = run("fit", *tower, *SHORT, *FROZEN)
    path, content, names = saved(first)
    assert names == []
    assert content["frozen_base"].keys() == {"encoder.tower"}
    assert content["frozen_base"]["encoder.tower"]["source"] == str(tmp_path / "tower")
    longer = run("fit", *tower, *SHORT, "--trainer.max_epochs=3", *FROZEN, f"--ckpt_path={path}")
    assert longer.trainer.global_step == first.trainer.global_step * 3 // 2
    ours = longer.model.encoder.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in first.model.encoder.state_dict().items())


@pytest.mark.long
def test_a_trained_tower_is_saved(run, tower, capsys):
    path, content, names = saved(run("fit", *tower, *SHORT))
    assert len(names) > 10 and "frozen_base" not in content
    # Trained and then frozen, it is not that of its source any more.
    _, again, kept = saved(run("fit", *tower, *SHORT, *FROZEN, f"--init_from={path}"))
    assert kept == names and "frozen_base" not in again
    assert all(torch.equal(again["state_dict"][name], content["state_dict"][name]) for name in names)


@pytest.mark.long
@pytest.mark.parametrize("key", ["ckpt_path", "init_from"])
def test_another_tower_is_refused(run, fails, tiny, tower, tmp_path, key):
    path, *_ = saved(run("fit", *tower, *SHORT, *FROZEN))
    other = with_tower(tmp_path / "other", seed=1)
    status, error = fails("validate", *other, *tiny, *FROZEN, f"--runs={tmp_path}", f"--{key}={path}")
    assert status == 1
    assert f"was trained on the frozen weights of '{tmp_path / 'tower'}', and those of model.encoder.tower" in error

"""A model that is sharded over devices learns what one device learns, and leaves the same checkpoint."""

import json
import signal

import pytest
import torch

from lightning_modules.training.fully_sharded import shard
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.short_run import losses
from tests.lightning_modules.two_ranks import (
    STATISTICS,
    assert_joined_statistics,
    note_statistics,
    run_two,
    signal_itself,
)

# Batch normalisation by clip, or the batch of one process would matter.
SETTINGS = (
    "--config=experiments/clip_statistics.yaml",
    "--name=sharded",
    "--model.encoder.dropout=0",
    "--model.stage.global_batch=2",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
)
# Three batches of the test for two processes: one of them has a stand-in, or the other would wait.
SHARDED = ("--config=configs/trainer/fsdp.yaml", "--data.batch_size=1", "--data.eval_batch_size=3")


def fit_two(tmp_path, tiny, *arguments, **how):
    given = {argument.partition("=")[0] for argument in (*SETTINGS, *SHARDED, *arguments)}
    rest = [argument for argument in tiny if argument.partition("=")[0] not in given]
    return run_two("fit", *SETTINGS, *SHARDED, *arguments, *rest, f"--runs={tmp_path / 'two'}", **how)


def numbers(values):
    return pytest.approx([float(value) for value in values], rel=1e-4)


def checkpoint(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_close(found, expected):
    """Compare nested weights and optimiser states."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            if not str(key).endswith(STATISTICS):
                assert_close(found[key], expected[key])
    elif isinstance(expected, list):
        for pair in zip(found, expected, strict=True):
            assert_close(*pair)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    else:
        assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected


@pytest.mark.long
def test_all_stop_when_one_is_told_to_and_one_device_goes_on(run, tiny, tmp_path, hear_control_c):
    whole = run("fit", *SETTINGS)
    stop = signal_itself(tmp_path, rank=1, step=1, number=signal.SIGINT.value)
    status, said = fit_two(tmp_path, tiny, stop, before=hear_control_c)
    assert status == [1, 1]
    assert "interrupted after step 1; continue with" in said[0]
    folder = tmp_path / "two" / "sharded" / "seed_0"
    assert [float(loss) for loss in losses(folder)] == numbers(losses(whole.folder)[:1])
    resumed = run("fit", *SETTINGS, f"--ckpt_path={folder / 'checkpoints' / 'interrupted.ckpt'}")
    assert resumed.folder == folder
    assert [float(loss) for loss in losses(folder)] == numbers(losses(whole.folder)[1:])
    found, expected = checkpoint(folder), checkpoint(whole.folder)
    assert found.keys() == expected.keys() and found["components"] == expected["components"]
    for key in ("state_dict", "optimizer_states"):
        assert_close(found[key], expected[key])


@pytest.mark.long
def test_the_devices_of_two_machines_go_on_where_one_was_stopped(run, tiny, tmp_path, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    def interrupted(self, batch, batch_idx):
        if self.global_step == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    network = save_tiny_network("llama", tmp_path / "pretrained", max_length=2048)
    frozen = ("--config=configs/llm/qwen2_5_7b.yaml", f"--model.language_model.name_or_path={network}",
              "--model.stage.language_model=0")  # fmt: skip
    whole = run("fit", *SETTINGS, *frozen)
    step = VideoLanguageModel.training_step
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", interrupted)
        run("fit", *SETTINGS, *frozen)
    folder = whole.folder.with_name("seed_0.2")
    resume = f"--ckpt_path={folder / 'checkpoints' / 'interrupted.ckpt'}"
    status, _ = fit_two(tmp_path, tiny, *frozen, resume, machines=2)
    assert status == [0, 0]
    assert [float(loss) for loss in losses(folder)] == numbers(losses(whole.folder)[1:])
    found, expected = checkpoint(folder), checkpoint(whole.folder)
    assert found["frozen_base"] == expected["frozen_base"]
    for key in ("state_dict", "optimizer_states"):
        assert_close(found[key], expected[key])
    last = folder / "checkpoints" / "last.ckpt"
    tested = run("test", *SETTINGS, *frozen, f"--ckpt_path={last}")
    figures = {name: float(value) for name, value in whole.trainer.callback_metrics.items() if "test/" in name}
    assert figures and tested.summary.figures == pytest.approx(figures, rel=1e-2)
    started = run("fit", *SETTINGS, *frozen, f"--init_from={last}", "--trainer.max_steps=1")
    assert started.trainer.global_step == 1


@pytest.mark.long
def test_running_statistics_are_alike_so_that_a_checkpoint_tests_as_its_run_did(run, tiny, tmp_path):
    settings = ("--config=experiments/clip_statistics.yaml", "--name=alike", "--data.train_clips=6",
                "--trainer.max_epochs=1", "--model.stage.encoder=0.01", "--data.batch_size=2")  # fmt: skip
    rest = [argument for argument in tiny if argument.partition("=")[0] not in ("--data.train_clips",)]
    status, _ = run_two("fit", *settings, *rest, SHARDED[0], note_statistics(tmp_path), f"--runs={tmp_path / 'two'}")
    assert status == [0, 0]
    folder = tmp_path / "two" / "alike" / "seed_0"
    assert_joined_statistics(tmp_path, checkpoint(folder)["state_dict"])
    tested = run("test", *settings, f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}")
    figures = json.loads((folder / "summary.json").read_text())["figures"]
    assert tested.summary.figures["test/loss"] == pytest.approx(figures["test/loss"], rel=1e-5)


@pytest.mark.long
def test_views_are_of_the_whole_model(tiny, tmp_path):
    views = ("--config=configs/trainer/views.yaml", "--name=views")
    status, _ = run_two("predict", *SETTINGS[:1], *SHARDED[:1], *views, *tiny, f"--runs={tmp_path}")
    assert status == [0, 0]
    names = {path.stem for path in (tmp_path / "views" / "predict_seed_0" / "views").rglob("*.png")}
    assert {"window_attention", "teacher_similarity", "token_norms", "fusion_weights"} < names


def test_quantised_weights_are_refused():
    network = torch.nn.Module()
    network.weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match=r"weight is torch.uint8\); set trainer.strategy to ddp"):
        shard(network, [], torch.nn.Identity(), mesh=None)

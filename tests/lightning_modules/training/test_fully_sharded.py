"""A model that is sharded over devices learns what one device learns, and leaves the same checkpoint."""

import json
import signal

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning_utilities.core.apply_func import apply_to_collection
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor

from components.stored_weights import StoredWeight
from lightning_modules.training import fully_sharded
from lightning_modules.training.checkpoint import read_checkpoint
from lightning_modules.training.distributed_checkpoint import StoredTensor
from lightning_modules.training.fully_sharded import kept_gathered, policy_of, shard
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


def checkpoint(folder):
    content = read_checkpoint(folder / "checkpoints" / "last.ckpt", "checkpoint")
    return apply_to_collection(content, StoredTensor, StoredTensor.read)


def assert_close(found, expected):
    """Compare nested weights and optimiser states."""
    assert type(found) is type(expected) or isinstance(found, dict)  # of which there are ordered ones
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
    assert (last / "__0_0.distcp").stat().st_size and not (last / "__1_0.distcp").stat().st_size  # one writes a copy
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
        shard(network, [], torch.nn.Identity(), mesh=None, policy=MixedPrecisionPolicy())


class Units(nn.Module):
    """Two layers that note the formats of their weights and inputs whenever they run, and a parameter beside them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(4))
        self.teacher, self.noted = nn.Identity(), []
        for layer in self.layers:
            layer.register_forward_hook(lambda layer, inputs, _: self.noted.append((layer.weight, inputs[0].dtype)))

    def training_step(self, values):
        for layer in self.layers:
            values = values + layer(values * self.scale)
        return values

    validation_step = test_step = predict_step = run_for_hooks = training_step


@pytest.fixture
def alone(tmp_path):
    """Return a mesh of this process alone."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1, 1), mesh_dim_names=("machines", "devices"))
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("precision", "gathered"),
    [(Precision(), torch.float32), (MixedPrecision("bf16-mixed", "cpu"), torch.bfloat16)],
    ids=["32-true", "bf16-mixed"],
)
def test_units_are_gathered_in_the_format_they_compute_in(alone, precision, gathered):
    torch.manual_seed(0)
    model, values = Units(), torch.randn(3, 4)
    with precision.forward_context():
        expected = model.training_step(values)
    expected.sum().backward()
    gradients = [weight.grad for weight in model.parameters()]
    model.zero_grad()
    model.noted.clear()
    shard(model, model.layers, model.teacher, alone, policy_of(precision))
    with precision.forward_context():
        found = model.training_step(values)
    assert [(weight.dtype, inputs) for weight, inputs in model.noted] == [(gathered, torch.float32)] * 2
    found.sum().backward()
    # The formats of the residual path, of the kept weights and of their gradients stay those of one device.
    assert found.dtype == expected.dtype == torch.float32 and torch.equal(found, expected)
    for weight, gradient in zip(model.parameters(), gradients, strict=True):
        assert weight.dtype == weight.grad.dtype == torch.float32
        torch.testing.assert_close(weight.grad.full_tensor(), gradient, rtol=1e-2, atol=1e-2)


def test_units_stay_gathered_for_all_tokens_of_an_answer_and_no_longer(alone):
    model, values = Units(), torch.ones(1, 4)
    shard(model, model.layers, model.teacher, alone, MixedPrecisionPolicy())

    def sharded_after_a_pass():
        with torch.no_grad():
            model.validation_step(values)
        return [isinstance(layer.weight, DTensor) for layer in model.layers]

    assert sharded_after_a_pass() == [True, True]
    with pytest.raises(KeyboardInterrupt), kept_gathered(model) as sharded:
        assert sharded
        assert sharded_after_a_pass() == sharded_after_a_pass() == [False, False]
        raise KeyboardInterrupt
    assert [isinstance(layer.weight, DTensor) for layer in model.layers] == [True, True]
    assert sharded_after_a_pass() == [True, True]


def test_weights_in_files_are_read_one_unit_at_a_time(alone, monkeypatch):
    model, expected = Units(), Units()
    expected.load_state_dict(model.state_dict())
    for layer in model.layers:
        layer.weight = StoredWeight.of(layer.weight.detach().half(), torch.float32)
    model.scale = StoredWeight.of(model.scale.detach().half(), torch.float32)
    unread, fully_shard = [], fully_sharded.fully_shard

    def noted(module, **settings):
        weights = [weight for weight in model.parameters() if isinstance(weight, StoredWeight)]
        unread.append(sum(weight.stored is not None for weight in weights))
        return fully_shard(module, **settings)

    monkeypatch.setattr(fully_sharded, "fully_shard", noted)
    shard(model, model.layers, model.teacher, alone, MixedPrecisionPolicy())
    assert unread == [2, 1, 0]
    assert not any(isinstance(weight, StoredWeight) for weight in model.parameters())
    values = torch.ones(3, 4)
    torch.testing.assert_close(model.training_step(values), expected.training_step(values), rtol=1e-2, atol=1e-2)


def test_nothing_is_asked_of_a_model_that_is_not_sharded():
    with kept_gathered(Units()) as sharded:
        assert not sharded


@pytest.mark.parametrize("precision", ["16-mixed", "16"])
def test_scaled_gradients_are_refused_in_one_line(fails, tiny, precision):
    status, error = fails("fit", *SETTINGS, *SHARDED[:1], *tiny, f"--trainer.precision={precision}")
    assert status == 1 and f"trainer.precision is {precision}" in error and "bf16-mixed" in error


@pytest.mark.long
def test_two_devices_learn_in_bfloat16_what_one_does(run, tiny, tmp_path):
    mixed = "--trainer.precision=bf16-mixed"
    whole = run("fit", *SETTINGS, mixed)
    status, _ = fit_two(tmp_path, tiny, mixed)
    assert status == [0, 0]
    found = losses(tmp_path / "two" / "sharded" / "seed_0")
    assert [float(loss) for loss in found] == pytest.approx([float(loss) for loss in losses(whole.folder)], rel=1e-2)

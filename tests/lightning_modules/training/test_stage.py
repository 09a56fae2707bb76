"""Which groups learn, at which rates, along which curve."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_modules.training.stage import Stage, clip


def groups():
    return {"encoder": nn.Linear(2, 2), "projector": nn.Linear(2, 3), "language_model": nn.Linear(3, 1)}


def test_a_rate_of_zero_freezes_a_group_and_keeps_it_out_of_the_optimiser():
    parts, stage = groups(), Stage(encoder=4e-4, projector=2e-4, language_model=0, distillation=1e-4)
    stage.freeze(parts)
    optimizer = stage.optimizer(parts)
    assert [(group["name"], group["lr"]) for group in optimizer.param_groups] == [
        ("encoder", 4e-4),
        ("projector", 2e-4),
    ]
    before = parts["language_model"].weight.clone()
    parts["language_model"](parts["projector"](parts["encoder"](torch.ones(1, 2)))).sum().backward()
    optimizer.step()
    assert torch.equal(parts["language_model"].weight, before)
    assert parts["encoder"].weight.grad is not None


def test_rates_rise_linearly_then_fall_as_a_cosine_to_zero():
    parts, stage = groups(), Stage(encoder=1.0, projector=0.5, language_model=0.1, distillation=0.5, warmup=0.1)
    optimizer = stage.optimizer(parts)
    schedule = stage.schedule(optimizer, steps=100)
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0) and rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0, abs=1e-12)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def step_of(parts, optimizer, dtype=torch.float32):
    inputs = torch.linspace(-1, 1, 6, dtype=dtype).view(3, 2)
    optimizer.zero_grad()
    parts["language_model"](parts["projector"](parts["encoder"](inputs))).square().sum().backward()
    optimizer.step()


def weights(parts):
    return [parameter.detach().clone() for part in parts.values() for parameter in part.parameters()]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_the_fused_step_is_that_of_separate_operations_and_goes_on_from_its_state(dtype, tolerance):
    stage = Stage(encoder=1e-2, projector=2e-2, language_model=3e-2, distillation=0)
    torch.manual_seed(0)
    parts = {name: part.to(dtype) for name, part in groups().items()}
    others = copy.deepcopy(parts)
    fused, separate = stage.optimizer(parts), stage.optimizer(others, scaled=True)
    for _ in range(3):
        step_of(parts, fused, dtype)
        step_of(others, separate, dtype)
    torch.testing.assert_close(weights(parts), weights(others), rtol=tolerance, atol=tolerance)

    again, plain = stage.optimizer(others), stage.optimizer(parts, scaled=True)
    again.load_state_dict(separate.state_dict())
    plain.load_state_dict(fused.state_dict())
    assert all(group["fused"] and not group["foreach"] for group in again.param_groups)
    assert all(group["foreach"] and not group["fused"] for group in plain.param_groups)
    step_of(others, again, dtype)
    step_of(parts, plain, dtype)
    torch.testing.assert_close(weights(parts), weights(others), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("limit", "algorithm"), [(None, None), (0.5, None), (0.5, "norm"), (0.01, "value")])
def test_clipping_is_that_of_torch_and_returns_the_norm_before_it(limit, algorithm):
    stage, parts = Stage(encoder=1e-2, projector=2e-2, language_model=3e-2, distillation=0), groups()
    optimizer = stage.optimizer(parts)
    step_of(parts, optimizer)
    parameters = [parameter for part in parts.values() for parameter in part.parameters()]
    gradients = [parameter.grad.clone() for parameter in parameters]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    torch.testing.assert_close(clip(optimizer, limit, algorithm), norm)
    share = min(1, 0.5 / float(norm)) if limit == 0.5 else 1
    for parameter, gradient in zip(parameters, gradients, strict=True):
        expected = gradient.clamp(-0.01, 0.01) if algorithm == "value" else gradient * share
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)


def test_an_infinite_norm_is_no_figure_where_losses_are_scaled():
    stage, parts = Stage(encoder=1e-2, projector=2e-2, language_model=3e-2, distillation=0), groups()
    optimizer = stage.optimizer(parts, scaled=True)
    step_of(parts, optimizer)
    parts["encoder"].weight.grad[0, 0] = torch.inf
    assert clip(optimizer, None, None) == torch.inf
    assert clip(optimizer, 1.0, "norm", scaled=True) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": -1.0}, "model.stage.encoder is -1.0"),
        ({"warmup": 1.0}, "model.stage.warmup is 1.0"),
        ({"encoder": 0, "projector": 0, "language_model": 0}, "trains nothing"),
    ],
)
def test_impossible_stages_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Stage(**{"encoder": 1e-3, "projector": 1e-3, "language_model": 1e-3, "distillation": 1e-3} | values)


@pytest.mark.parametrize(
    ("global_batch", "batch_size", "devices", "batches"),
    [(None, 8, 4, 1), (16, 8, 1, 2), (16, 8, 2, 1), (2048, 8, 64, 4)],
)
def test_the_global_batch_is_the_same_on_any_number_of_devices(global_batch, batch_size, devices, batches):
    assert Stage(1e-3, 1e-3, 0, 1e-3, global_batch=global_batch).accumulation(batch_size, devices) == batches


@pytest.mark.parametrize(
    ("global_batch", "message"),
    [(12, "is 12, .* 4 x 2 = 8; batch sizes that fit, .*: 1, 2, 3, 6$"), (0, "is 0"), (7, "none$")],
)
def test_a_global_batch_that_cannot_be_had_is_refused_with_what_can(global_batch, message):
    with pytest.raises(ValueError, match=message):
        Stage(1e-3, 1e-3, 0, 1e-3, global_batch=global_batch).accumulation(4, 2)


@pytest.mark.long
def test_batches_add_up_to_the_global_batch(run):
    whole, parts = (
        run("fit", "--config=experiments/full.yaml", "--trainer.max_epochs=1", f"--data.batch_size={size}",
            "--model.stage.global_batch=2") for size in (2, 1)
    )  # fmt: skip
    assert (whole.trainer.accumulate_grad_batches, parts.trainer.accumulate_grad_batches) == (1, 2)
    assert parts.trainer.global_step == whole.trainer.global_step == 2


def test_the_global_batch_is_set_in_one_place_only(fails, tiny, tmp_path):
    status, error = fails("fit", "--config=experiments/full.yaml", *tiny, "--model.stage.global_batch=2",
                          "--trainer.accumulate_grad_batches=2", f"--runs={tmp_path}")  # fmt: skip
    assert status == 1 and "only one of them can decide" in error

"""Which groups learn, at which rates, along which curve."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_modules.stage import Stage


def groups():
    return {"encoder": nn.Linear(2, 2), "projector": nn.Linear(2, 3), "language_model": nn.Linear(3, 1)}


def test_a_rate_of_zero_freezes_a_group_and_keeps_it_out_of_the_optimiser():
    parts, stage = groups(), Stage(encoder=4e-4, projector=2e-4, language_model=0)
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
    parts, stage = groups(), Stage(encoder=1.0, projector=0.5, language_model=0.1, warmup=0.1)
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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"encoder": -1.0}, "model.stage.encoder is -1.0"),
        ({"warmup": 1.0}, "model.stage.warmup is 1.0"),
        ({"encoder": 0, "projector": 0, "language_model": 0}, "trains nothing"),
    ],
)
def test_impossible_stages_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Stage(**{"encoder": 1e-3, "projector": 1e-3, "language_model": 1e-3} | values)

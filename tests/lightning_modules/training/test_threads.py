"""A small model on a CPU has one thread, whatever else runs there, unless the user decides."""

import pytest
import torch
from torch import nn

from lightning_modules.training.devices import use_threads

CPU = torch.device("cpu")


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def large():
    with torch.device("meta"):
        return nn.Linear(5000, 5000)


def test_a_small_model_has_one_thread_and_says_so(two_threads):
    assert "1 thread instead of 2" in use_threads(nn.Linear(2, 2), CPU)
    assert torch.get_num_threads() == 1
    assert use_threads(nn.Linear(2, 2), CPU) == ""  # nothing to say of what is so already


@pytest.mark.parametrize("case", ["the user decides", "on a GPU", "large"])
def test_threads_stay_as_they_are(two_threads, monkeypatch, case):
    if case == "the user decides":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    model = large() if case == "large" else nn.Linear(2, 2)
    assert use_threads(model, torch.device("cuda") if case == "on a GPU" else CPU) == ""
    assert torch.get_num_threads() == 2


def test_a_run_says_it(run, capsys, two_threads):
    run("fit", "--config=experiments/no_distillation.yaml", "--trainer.fast_dev_run=1")
    assert torch.get_num_threads() == 1
    assert "computing with 1 thread instead of 2" in capsys.readouterr().out

"""The scripts for a GPU run at toy size on a CPU, and their results never pose as those of a GPU."""

import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.measuring import Place, each

SCRIPTS = ("checks", "latency", "memory", "throughput", "precisions")


@pytest.mark.long
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_at_toy_size(name, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.measuring.REHEARSAL", tmp_path)
    monkeypatch.setattr("sys.argv", [name, "--rehearsal", "--seconds=500"])
    script = import_module(f"benchmarks.gpu.{name}")
    from benchmarks.gpu.measuring import main

    main(name, script.__doc__, script.measure)
    assert '"rehearsal": true' in (tmp_path / f"rehearsal_{name}.json").read_text()
    assert [file.name for file in tmp_path.iterdir()] == [f"rehearsal_{name}.json"]


def test_a_case_that_fails_or_has_no_time_does_not_end_the_others():
    cpu, cases = torch.device("cpu"), {"bad": lambda: 1 / 0, "good": lambda: {"ms": 1.0}}
    rows = each(Place(cpu, True, time.monotonic() + 60), cases)
    assert rows == [{"case": "bad", "error": "ZeroDivisionError: division by zero"}, {"case": "good", "ms": 1.0}]
    assert all("left out" in row for row in each(Place(cpu, True, time.monotonic() - 1), cases))


def test_scripts_are_short():
    assert all(len(Path(f"benchmarks/gpu/{name}.py").read_text().splitlines()) < 80 for name in SCRIPTS)

"""The scripts for a GPU run at toy size on a CPU, and their results never pose as those of a GPU."""

import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.latency import GOALS
from benchmarks.gpu.measuring import Place, each, judged, with_ratios

SCRIPTS = ("checks", "latency", "products", "memory", "throughput", "precisions")


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


def test_goals_are_judged_on_a_device_only():
    ours, compiled, many, other = GOALS
    rows = [{"case": ours, "latency ms": 0.9}, {"case": compiled, "latency ms": 0.5}, {"case": many, "error": "no"},
            {"case": other, "latency ms": 18.9}, {"case": "without a goal", "latency ms": 9.0}]  # fmt: skip
    rows = with_ratios(rows, "latency ms")
    on_cuda = judged(Place(torch.device("cuda"), False, 0), rows, GOALS)
    assert [row.get("goal") for row in on_cuda] == [
        "met: latency ms 0.9, at most 1",
        "missed: latency ms 0.5, at most 0.45",
        "not judged: % of large products was not measured, at least 50",
        "met: times the first 21, at least 20",
        None,
    ]
    for place in (Place(torch.device("cpu"), True, 0), Place(torch.device("cuda"), True, 0)):
        assert judged(place, rows, GOALS) == rows
    assert not with_ratios([{"case": ours, "error": "no"}, rows[1]], "latency ms")[1].get("goal")


def test_scripts_are_short():
    assert all(len(Path(f"benchmarks/gpu/{name}.py").read_text().splitlines()) < 60 for name in SCRIPTS)

"""`video-panda profile`: counts agree with the paper's Table 3, and every part is timed and measured."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from lightning_modules.cli import main
from lightning_modules.costs.operations import count_operations
from lightning_modules.costs.peak_memory import peak_memory
from lightning_modules.costs.profile import profile
from lightning_modules.costs.timing import TimedPath
from lightning_modules.costs.visual_path import visual_path
from lightning_modules.resolve import resolve_at_paper_scale

TOY = ("--config", "configs/scale/toy.yaml")
# Table 3: millions of parameters, and giga multiply-accumulates ("GFLOPs"). Ours of STAB are fewer by reformulation.
TABLE_3 = {"full": (45, None), "video_llava": (425, 864.1), "video_chatgpt": (307, 8109.1)}


def profiled(capsys, *arguments):
    main(["profile", *arguments])
    return capsys.readouterr().out


def as_json(capsys, *arguments):
    return json.loads(profiled(capsys, *arguments, "--format", "json"))


def test_table_3_to_one_percent(capsys):
    first, *others = (f"experiments/{name}.yaml" for name in TABLE_3)
    records = as_json(capsys, "--config", first, "--compare", *others, "--repeats", "0")
    assert list(records) == list(TABLE_3)
    for name, (millions, gmac) in TABLE_3.items():
        assert records[name]["scale"] == "paper"
        assert records[name]["visual"]["parameters"] / 1e6 == pytest.approx(millions, rel=0.01)
        if gmac is not None:
            assert records[name]["visual"]["gmac"] == pytest.approx(gmac, rel=0.01)
    assert records["full"]["visual"]["gmac"] == pytest.approx(68.8, abs=0.05)
    assert [records[name]["visual"]["tokens"] for name in TABLE_3] == [8 * (16 * 17 + 1), 8 * 257, 100 + 256]
    assert [records[name]["input"] for name in TABLE_3] == [
        {"frames": frames, "canvas": canvas, "clips": 1} for frames, canvas in ((8, 448), (8, 224), (100, 224))
    ]


def test_parts_add_up(capsys):
    costs = as_json(capsys, "--config", "experiments/full.yaml", "--repeats", "0")["full"]
    slots = [part for name, part in costs.items() if name.startswith("encoder.")]
    assert len(slots) == 7
    for cost in ("parameters", "gmac"):
        assert costs["encoder"][cost] == pytest.approx(sum(part[cost] for part in slots), rel=1e-6)
        assert costs["visual"][cost] == pytest.approx(costs["encoder"][cost] + costs["projector"][cost], rel=1e-6)


@pytest.mark.parametrize("experiment", ["full", "video_llava", "video_chatgpt"])
def test_what_is_timed_are_numbers(experiment):
    """Memory that nothing was written into, as of running statistics, may hold anything: here NaN throughout."""
    path, clip = visual_path(resolve_at_paper_scale([f"experiments/{experiment}.yaml", *TOY[1:]]))
    path.to_empty = lambda device: filled_with_nan(nn.Module.to_empty(path, device=device))
    timed = TimedPath(path, clip, torch.device("cpu"), torch.float32)
    assert all(buffer.isfinite().all() for buffer in path.buffers()) and timed.frames.std() > 0.9
    with torch.no_grad():
        tokens = path(timed.frames, timed.layout)
    assert tokens.isfinite().all() and tokens.std() > 0


def filled_with_nan(module):
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            nn.init.constant_(tensor, float("nan"))
    return module


def test_every_part_is_timed_and_measured(capsys):
    record = as_json(capsys, "--config", "experiments/full.yaml", *TOY, "--repeats", "3", "--device", "cpu")["full"]
    parts = {name: part for name, part in record.items() if isinstance(part, dict) and "gmac" in part}
    assert all(part["latency_ms"] > 0 and part["peak_memory_mib"] > 0 and part["runs"] == 3 for part in parts.values())
    slots = [part["latency_ms"] for name, part in parts.items() if name.startswith("encoder.")]
    assert parts["visual"]["peak_memory_mib"] >= max(part["peak_memory_mib"] for part in parts.values())
    assert len(slots) == 7 and record["device"] == "cpu"
    assert record["dtype"] == "torch.float32" and not any(record[mode] for mode in ("tf32", "compiled", "cuda_graph"))


def test_the_whole_path_is_timed_without_hooks_and_its_parts_after_it():
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml", *TOY[1:]]))
    timed = TimedPath(path, clip, torch.device("cpu"), torch.float32)
    timed.warm_up()
    hooked, forward = [], path.encoder.forward

    def watched(*args):
        hooked.append(any(part._forward_hooks or part._forward_pre_hooks for part in path.modules()))
        return forward(*args)

    path.encoder.forward = watched
    timed.run()
    assert hooked == [False, True] and set(timed.timings()) >= {"visual", "encoder", "projector"}


def test_a_path_that_does_not_compile_is_timed_as_it_is(capsys, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no compiler of C++\nand more")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    arguments = ("--config", "experiments/full.yaml", *TOY, "--repeats", "1", "--device", "cpu", "--compile")
    main(["profile", *arguments])
    said = capsys.readouterr()
    assert "full could not be compiled and is timed as it is: RuntimeError: no compiler of C++\n" in said.err
    assert len(said.err.splitlines()) == 1 and "the whole path as it is" in said.out


def test_a_compiled_path_is_what_is_timed(monkeypatch):
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml", *TOY[1:]]))
    called = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *args: called.append(1) or function(*args))
    timed = TimedPath(path, clip, torch.device("cpu"), torch.float32, compiled=True)
    timed.warm_up()
    timed.run()
    assert timed.compiled and len(called) == 2


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_the_number_format_is_said_and_does_not_outlive_the_program(capsys, dtype, allowed):
    before = torch.get_float32_matmul_precision()
    said = profiled(capsys, "--config", "experiments/full.yaml", *TOY, "--repeats", "1", "--device", "cpu",
                    "--dtype", dtype)  # fmt: skip
    assert ("float32, products in TF32" in said) is allowed and torch.get_float32_matmul_precision() == before
    assert ("bfloat16" in said) is (dtype == "bfloat16")


def test_a_batch_of_clips_takes_its_multiple():
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml", *TOY[1:]]))
    one, four = (count_operations(path, replace(clip, clips=clips))["visual"] for clips in (1, 4))
    assert (four.tokens, four.gmac) == (4 * one.tokens, pytest.approx(4 * one.gmac, rel=0.01))


def test_a_part_that_is_left_out_costs_nothing(capsys):
    record = as_json(capsys, "--config", "experiments/no_lste.yaml", *TOY, "--repeats", "0")["no_lste"]
    assert "encoder.local_encoding" not in record and "encoder.downsampling" in record


def test_the_comparison_is_a_table(capsys):
    said = profiled(capsys, "--config", "experiments/full.yaml", *TOY, "--compare", "experiments/no_lste.yaml",
                    "--repeats", "1", "--device", "cpu")  # fmt: skip
    rows = [line for line in said.split("side by side")[1].splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["full", "no_lste"]
    assert rows[2].split("|")[-2].strip() == "1.00" and len({len(row) for row in rows}) == 1
    assert "full, toy scale: 8 frames of 36 x 36 pixels" in said


def test_flags_of_fit_count(capsys):
    record = as_json(capsys, "--config", "experiments/full.yaml", *TOY, "--repeats", "0", "--model.encoder.width=48",
                     "--data.sampler.frames=4")["full"]  # fmt: skip
    assert record["input"]["frames"] == 4
    assert record["encoder.row_tokens"]["parameters"] == 48


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "experiments/nothing.yaml"], "does not exist"),
        (["--config", "experiments/full.yaml", "--data.canvas=30"], "needs a multiple of 28 pixels"),
        (["--config", "experiments/full.yaml", "--device=cpu", "--cuda_graph"], "--cuda_graph needs a CUDA device"),
        (["--config", "experiments/full.yaml", "--device=cuda"], "torch finds no CUDA device here"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, said):
    if arguments[-1] == "--device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(SystemExit):
        main(["profile", *arguments])
    assert said in capsys.readouterr().err


class Doubling(nn.Module):
    """Holds up to three tensors of the size of its input at a time, the last of them its result."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, numbers):
        first = numbers + 1
        second = first * 2
        return self.inner(first + second)


def test_peak_memory_is_what_is_allocated_at_once():
    model, numbers = Doubling(), torch.zeros(256, 1024)
    peaks = peak_memory({"model": model, "inner": model.inner}, lambda: model(numbers), torch.device("cpu"))
    assert peaks == {"model": pytest.approx(3.0, abs=0.01), "inner": pytest.approx(0.0, abs=0.01)}


def test_two_experiments_of_one_configuration_cost_the_same():
    records = profile(
        {name: resolve_at_paper_scale([f"experiments/{name}.yaml", TOY[1]]) for name in ("full", "blind")},
        torch.device("cpu"), torch.float32, repeats=0, seconds=1.0,
    )  # fmt: skip
    assert records["full"]["visual"] == records["blind"]["visual"]

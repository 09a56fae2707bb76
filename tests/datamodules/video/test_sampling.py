"""Frame indices: the official ones where the official code gives any, and sane ones where it fails."""

import json
import os
from itertools import product
from pathlib import Path

import pytest

from datamodules.video.sampling import FpsSampler, OfficialSampler, UniformSampler

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[2] / "golden"))
GOLDEN = json.loads((GOLDEN_DIR / "frames.json").read_text())
SAMPLERS = [OfficialSampler(8), OfficialSampler(1), OfficialSampler(16), UniformSampler(8), UniformSampler(1)]
SAMPLERS += [FpsSampler(1.0, 8), FpsSampler(2.5, 100), FpsSampler(0.1, 3)]


def test_official_indices():
    sampler = OfficialSampler(GOLDEN["num_frames"])
    rows = [row for row in GOLDEN["rows"] if "indices" in row]
    assert rows
    for row in rows:
        assert sampler.indices(row["n"], row["fps"]) == row["indices"], row


def test_where_the_official_code_fails():
    sampler = OfficialSampler(8)
    assert sampler.indices(1, 30) == [0]
    assert sampler.indices(20, 0.3) == UniformSampler(8).indices(20, 0.3)  # stride 1: all are candidates
    for row in GOLDEN["rows"]:
        if "error" in row:
            assert sampler.indices(row["n"], row["fps"])


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: f"{type(sampler).__name__}{vars(sampler)}")
def test_indices_exist_increase_and_are_limited(sampler):
    limit = getattr(sampler, "frames", None) or sampler.max_frames
    for count, fps in product([1, 2, 3, 7, 8, 9, 15, 100, 1001], [0.1, 0.5, 1, 5, 23.976, 29.97, 120]):
        indices = sampler.indices(count, fps)
        assert indices == sorted(set(indices))
        assert 1 <= len(indices) <= min(limit, count)
        assert set(indices) <= set(range(count))
        assert all(type(index) is int for index in indices)


@pytest.mark.parametrize("sampler", SAMPLERS[:1] + SAMPLERS[3:4] + SAMPLERS[5:6])
def test_clip_without_frames_or_rate(sampler):
    with pytest.raises(ValueError, match="0 frames"):
        sampler.indices(0, 30)
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="frame rate"):
            sampler.indices(10, fps)


def test_uniform():
    assert UniformSampler(8).indices(109, 30) == [0, 15, 30, 46, 61, 77, 92, 108]
    assert UniformSampler(8).indices(5, 30) == [0, 1, 2, 3, 4]


def test_fps():
    assert FpsSampler(2.0, 100).indices(50, 10) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    assert FpsSampler(4.0, 100).indices(10, 10) == [0, 2, 5, 7]
    assert FpsSampler(60.0, 100).indices(4, 30) == [0, 1, 2, 3]
    assert FpsSampler(1.0, 3).indices(101, 10) == [0, 50, 100]


@pytest.mark.parametrize(("cls", "values"), [(OfficialSampler, {"frames": 0}), (UniformSampler, {"frames": -1})])
def test_bad_number_names_its_key(cls, values):
    with pytest.raises(ValueError, match=r"sampler.init_args.frames"):
        cls(**values)


def test_bad_rate_names_its_key():
    with pytest.raises(ValueError, match=r"sampler.init_args.fps is 0"):
        FpsSampler(fps=0.0)
    with pytest.raises(ValueError, match=r"sampler.init_args.max_frames is 0"):
        FpsSampler(max_frames=0)

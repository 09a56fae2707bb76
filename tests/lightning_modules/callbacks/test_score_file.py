"""The file of scores that a test leaves: after a training, by itself, and on a disk that is full."""

import json
from datetime import datetime, timedelta

import pytest
import torch

from lightning_modules.scoring.interval import HOW_SURE
from lightning_modules.training.provenance import PACKAGES
from tests.lightning_modules.short_run import NO_LSTE
from tests.lightning_modules.two_ranks import run_two


def content(folder):
    return json.loads((folder / "answers" / "test_scores.json").read_text())


@pytest.fixture
def tested(run, finished):
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    return run("test", *NO_LSTE, f"--ckpt_path={checkpoint}", "--seed_everything=3")


@pytest.mark.long
def test_it_holds_the_logged_figures_with_intervals(tested):
    stored = content(tested.folder)
    logged = {name: figure for name, figure in tested.summary.figures.items() if "exact_match" in name}
    assert {f"test/{name}": score["value"] for name, score in stored["scores"].items()} == pytest.approx(logged)
    for score in stored["scores"].values():
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
        assert score["high"] - score["low"] > 0.5, "one video of eight questions says little"
    assert stored["scores"]["exact_match/mean"]["questions"] == 9 and stored["benchmarks"] == {}
    assert stored["intervals"] == HOW_SURE
    assert stored["counts"] == {"questions": 9, "videos": 1, "answered": 9, "unanswered": 0, "missing_clips": 0}


def test_it_tells_where_they_come_from(tested, finished):
    came_from = content(tested.folder)["provenance"]
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    assert came_from["experiment"] == "no_lste" and came_from["config_files"][-1] == "experiments/no_lste.yaml"
    assert " test --config experiments/no_lste.yaml " in came_from["command"]
    assert came_from["components"]["encoder.local_encoding"] == "NoLocalEncoding"
    facts = checkpoint.stat()
    assert came_from["checkpoint"] == {
        "path": str(checkpoint), "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns
    }  # fmt: skip
    assert came_from["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert came_from["versions"].keys() == {"python", *PACKAGES} and None not in came_from["versions"].values()
    assert came_from["device"].startswith("cpu") and came_from["precision"] == "32-true" and came_from["seed"] == 3
    assert came_from["generation"] == {"greedy": True, "max_new_tokens": 4}
    assert came_from["compared"].keys() == {"FreeAnswer"}
    data = came_from["data"]
    assert data["shown_frames"]["class_path"].endswith("TrueFrames") and data["sampler"]["init_args"]["frames"] == 8
    assert data["manifest_sha256"] == "" and data["question_files"] == {}
    began, ended = (datetime.fromisoformat(came_from[key]) for key in ("began", "ended"))
    assert began <= ended and began.utcoffset() == timedelta(0)


@pytest.mark.long
def test_the_test_after_a_training_leaves_one_too(finished):
    stored = content(finished.folder)
    assert stored["scores"].keys() == {
        name.removeprefix("test/") for name in finished.summary.figures if name.startswith("test/exact")
    }
    assert stored["provenance"]["checkpoint"] is None and stored["provenance"]["steps_of_this_run"] == 4


@pytest.mark.long
def test_they_are_a_table_in_tensorboard(tested):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tested.folder))
    events.Reload()
    (table,) = events.Tensors("scores/text_summary")
    text = table.tensor_proto.string_val[0].decode()
    assert text.endswith(HOW_SURE) and len([line for line in text.splitlines() if "exact_match/" in line]) == 10
    high = events.Scalars("test_interval/exact_match/colour/high")[-1].value
    assert high == pytest.approx(content(tested.folder)["scores"]["exact_match/colour"]["high"])


@pytest.mark.long
def test_a_prediction_has_none(run):
    folder = run("predict", *NO_LSTE).folder
    assert sorted(path.name for path in (folder / "answers").iterdir()) == ["predict.by.json", "predict.jsonl"]


@pytest.mark.long
def test_a_file_that_cannot_be_written_is_one_line_of_every_process_and_costs_no_answer(tested, tiny):
    folder = tested.folder / "answers"
    before = (folder / "test.jsonl").read_text()
    (folder / "test_scores.json").unlink()
    (folder / "test_scores.json").mkdir()
    command = ["test", *NO_LSTE, *tiny, "--seed_everything=3", f"--ckpt_path={tested.config.test.ckpt_path}"]
    status, output = run_two(*command, f"--continue_answers={tested.folder}", "--trainer.strategy=ddp")
    line = f"error: {folder / 'test_scores.json'} cannot be written: Is a directory; the answers are kept in"
    assert status == [1, 1] and [words.splitlines()[-1] for words in output] == [f"{line} {folder / 'test.jsonl'}"] * 2
    assert (folder / "test.jsonl").read_text() == before
    (folder / "test_scores.json").rmdir()
    assert sorted(path.name for path in folder.iterdir()) == ["test.by.json", "test.jsonl"], "and nothing by halves"

"""The table of families: cells, pairing by question, and what it refuses."""

import json

import pytest

from ablation.family_table import markdown, run_missing
from datamodules.shapes_in_motion import FAMILIES


def write_run(runs, name, rights):
    folder = runs / name / "seed_0" / "answers"
    folder.mkdir(parents=True)
    rows = [{"id": id, "family": family, "right": right} for (id, family), right in rights.items()]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))


def questions(right_colour, right_count):
    return {(f"c{i}", "colour"): i < right_colour for i in range(100)} | {
        (f"n{i}", "count"): i < right_count for i in range(100)
    }


def test_a_clear_cost_is_bold_and_a_null_is_not(tmp_path):
    write_run(tmp_path, "full", questions(90, 80))
    write_run(tmp_path, "other", dict(reversed(questions(50, 79).items())))  # order of answers must not matter
    lines = markdown(["full", "other"], tmp_path, 0).splitlines()
    assert lines[0] == "| experiment | all | colour | count |"
    assert lines[2].startswith("| full | 85 [") and "| 90 [" in lines[2]
    colour, count = lines[3].split(" | ")[2:4]
    assert colour.startswith("50 (**-40 [") and count.startswith("79 (-1 [")


def test_a_run_that_was_interrupted_gives_way_to_the_one_after_it(tmp_path):
    write_run(tmp_path, "full", questions(90, 80))
    (tmp_path / "full/seed_0").rename(tmp_path / "full/seed_0.10")
    write_run(tmp_path, "full", questions(10, 10))
    (tmp_path / "full/seed_0").rename(tmp_path / "full/seed_0.2")
    (tmp_path / "full/seed_0/checkpoints").mkdir(parents=True)
    run_missing(["full"], tmp_path, 0)
    assert markdown(["full"], tmp_path, 0).splitlines()[2].startswith("| full | 85 [")
    assert not (tmp_path / "full/seed_0.11").exists()


def test_runs_with_other_questions_are_refused(tmp_path):
    write_run(tmp_path, "full", questions(90, 80))
    write_run(tmp_path, "other", {("x", "colour"): True})
    with pytest.raises(ValueError, match="same questions"):
        markdown(["full", "other"], tmp_path, 0)


def test_missing_and_broken_answers_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"full.seed_0 holds no answers"):
        markdown(["full"], tmp_path, 0)
    write_run(tmp_path, "full", questions(1, 1))
    path = tmp_path / "full/seed_0/answers/test.jsonl"
    path.write_text(path.read_text() + "\n{oops")
    with pytest.raises(ValueError, match=r"test\.jsonl, line 201 is not an answer"):
        markdown(["full"], tmp_path, 0)


def test_what_is_missing_is_trained_and_what_is_there_is_not(tmp_path):
    size = {
        "train_clips": 4,
        "val_questions_per_family": 1,
        "test_questions_per_family": 1,
        "root": f"{tmp_path}/clips",
    }
    small = tmp_path / "small.yaml"
    small.write_text(json.dumps({"data": {"init_args": size}, "trainer": {"max_steps": 1, "accelerator": "cpu"}}))
    write_run(tmp_path / "runs", "full", {(f"test/000000/{family}", family): True for family in FAMILIES})
    run_missing(["full", "blind"], tmp_path / "runs", 0, jobs=2, configs=[small])
    assert not (tmp_path / "runs/full/seed_0/config.yaml").exists()
    assert (tmp_path / "runs/blind/seed_0/config.yaml").exists()
    rows = markdown(["full", "blind"], tmp_path / "runs", 0).splitlines()[2:]
    assert rows[0].startswith("| full | 100 [") and rows[1].startswith("| blind | ")


def test_a_training_that_fails_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"did not end well: no_such_row \(status [12]\)"):
        run_missing(["no_such_row"], tmp_path, 0)
    with pytest.raises(ValueError, match="--jobs is 0"):
        run_missing(["full"], tmp_path, 0, jobs=0)

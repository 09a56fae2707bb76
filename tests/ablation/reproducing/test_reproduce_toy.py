"""From nothing to a table with one command, at toy scale: beside the paper's numbers and never as if they were."""

import csv
import json
import re

import pytest

from ablation.comparing.report import Entry, Table
from ablation.reproducing import command
from ablation.sweep import training
from ablation.sweep.runner import Outcome
from tests.ablation.comparing.run_folders import GOOD, rows, write_run
from tests.ablation.reproducing.conftest import cells
from tests.guides import commands

BESIDE = "the paper's numbers, and beside them"


def began(text):
    return re.findall(r"begins +(\S+)", text)


def test_one_command_trains_what_is_missing_and_prints_the_table(pretended, reproduced, runs, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("markdown", "csv", "latex", "html")}
    flags = [word for kind, file in files.items() for word in (f"--{kind}", file)]
    status, text = reproduced("table-5", "--seeds", 2, "--also", "experiments/blind.yaml", *flags)
    assert status == 0
    expected = [f"{name}/seed_{seed}" for seed in (0, 1) for name in
                ("no_distillation", "mse_distillation", "full", "blind")]  # fmt: skip
    assert began(text) == expected
    title = "Table 5 of the paper, what distillation brings: "
    assert title + BESIDE + " ShapesInMotion, toy scale, 10 steps of training" in text
    row = cells(text, "no distillation", BESIDE)
    assert row["experiment"] == "no_distillation"
    assert row["paper: MSVD-QA"] == "63.1/3.7 (-1.6)" and row["paper: ActivityNet-QA"] == "39.8/3.3 (-0.2)"
    assert row["ours, %"].startswith("37.5 [") and row["ours, from full"].startswith("-50.0 [")
    assert row["verdict"] == "worse" and row["seeds"] == "2: 37.5 to 37.5"
    assert cells(text, "blind", BESIDE)["paper: MSVD-QA"] == "-"
    full = cells(text, "negative cosine, full model", BESIDE)
    assert full["verdict"] == "baseline" and full["paper: MSVD-QA"] == "64.7/3.8"
    assert "Ours: ShapesInMotion, toy scale, 10 steps of training. NOT comparable with the paper's numbers" in text
    assert "agrees" not in text.lower() and "remarks" not in text and "judge " not in text
    assert cells(text, "blind", "by family of questions")["count"].startswith("0.0 (-75.0 [")

    assert files["markdown"].read_text().strip() in text
    figures = {(row["row"], row["column"]): row for row in csv.DictReader(files["csv"].open())}
    assert float(figures["blind", "ours, from full"]["value"]) == pytest.approx(-50)
    assert float(figures["no distillation", "paper: MSVD-QA"]["value"]) == 63.1
    latex = files["latex"].read_text()
    assert r"no\_distillation" in latex and r"$37.5\ [" in latex and latex.count(r"\begin{table}") == 2
    page = files["html"].read_text()
    assert '<td class="n">63.1/3.7 (-1.6)</td>' in page and "NOT comparable with the paper&#39;s numbers" in page

    status, again = reproduced("table-5", "--seeds", 2, "--also", "experiments/blind.yaml")
    assert status == 0 and not began(again)
    assert again[again.index(BESIDE) :] == text[text.index(BESIDE) : text.index("\nwritten: ")]


def test_three_seeds_unless_it_is_said(pretended, reproduced):
    assert len(began(reproduced("table-8", "--dry-run")[1])) == 0
    assert "sweep table_8: 6 jobs" in reproduced("table-8", "--dry-run")[1]


def test_a_row_that_fails_is_named_and_the_others_are_shown(pretended, reproduced):
    status, text = reproduced("table-8", "--seeds", 1, "--retries", 0, "--model.fails=lsd_before_lste")
    assert status == 1 and "1 failed, and the same command tries again: lsd_before_lste/seed_0" in text
    assert cells(text, "LSD before LSTE", BESIDE)["ours, %"] == "not trained"
    assert cells(text, "LSD after LSTE", BESIDE)["ours, %"].startswith("87.5 [")


def test_without_the_full_model_the_others_are_compared_with_the_first_and_this_is_said(pretended, reproduced):
    status, text = reproduced("table-8", "--seeds", 1, "--retries", 0, "--model.fails=full")
    assert status == 1
    row = cells(text, "LSD before LSTE", BESIDE)
    assert row["verdict"] == "baseline" and "ours, from lsd_before_lste" in row


def test_when_every_row_fails_the_paper_stands_alone(pretended, reproduced, monkeypatch):
    monkeypatch.setattr(training, "command", lambda words: ["false"])
    status, text = reproduced("table-8", "--seeds", 1, "--retries", 0)
    assert status == 1 and "Ours: no row is trained and tested yet." in text


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome(stopped_by=15), 143), (None, 0)], ids=["stopped", "submitted"]
)
def test_without_trainings_that_ended_there_is_no_table_yet(reproduced, monkeypatch, outcome, status):
    monkeypatch.setattr(command, "train", lambda request, known: outcome)
    output = reproduced("table-8")
    assert output[0] == status and BESIDE not in output[1] and "Ours: " not in output[1]


def test_runs_of_other_settings_are_refused(pretended, reproduced, runs):
    folder = write_run(runs, "full", 0, rows(GOOD))
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("max_epochs: 2", "max_epochs: 3"))
    status, text = reproduced("table-8", "--seeds", 1)
    assert status == 1 and "full/seed_0 was trained with other settings" in text and "max_epochs: 3 -> 2" in text
    assert not began(text)


def test_a_training_without_a_test_is_said(pretended, reproduced, runs):
    assert reproduced("table-8", "--seeds", 1)[0] == 0
    answers = runs / "full/seed_0/answers"
    (answers / "test.jsonl").rename(answers / "other.jsonl")
    status, text = reproduced("table-8", "--seeds", 1)
    assert status == 0
    assert cells(text, "LSD after LSTE", BESIDE)["ours, %"] == "not tested"
    assert f"- {runs}/full/seed_0: it has no answers to a test" in text


def test_a_scale_is_that_which_the_runs_have_kept_and_not_the_one_asked_for(pretended, reproduced, runs):
    assert reproduced("table-8", "--seeds", 1)[0] == 0
    for file in runs.glob("*/seed_0/answers/test_scores.json"):
        content = json.loads(file.read_text())
        content["provenance"]["config_files"] = ["elsewhere/scale/huge.yaml"]
        file.write_text(json.dumps(content))
    assert BESIDE + " ShapesInMotion, huge scale" in reproduced("table-8", "--seeds", 1)[1]


def test_runs_of_several_scales_are_not_in_one_table(pretended, reproduced, runs):
    assert reproduced("table-8", "--seeds", 1)[0] == 0
    file = runs / "full/seed_0/answers/test_scores.json"
    file.write_text(file.read_text().replace("scale/toy", "scale/huge"))
    status, text = reproduced("table-8", "--seeds", 1)
    assert status == 1 and "these trainings' own tests cannot be in one table" in text
    assert "scale: toy (lsd_before_lste/seed_0) against huge (full/seed_0)" in text and BESIDE not in text


def test_bounds_give_way_where_there_is_no_room():
    table = Table("t", ["row", "figure"], [[Entry("a"), Entry("1.0", "[0.5, 1.5]")]], ["n"])
    assert "[0.5" in table.text() and "[0.5" in table.text(80) and "[0.5" not in table.text(15)


@pytest.mark.parametrize("table", ["table-6", "table-99"])
def test_a_table_that_is_none(reproduced, table):
    status, text = reproduced(table)
    assert status == 1 and text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs=0"], "--jobs is 0; it must be at least 1"),
        (["--repeats=-1"], "--repeats is -1; it must be 0 or more"),
    ],
)
def test_a_number_that_is_none(reproduced, words, message):
    status, text = reproduced("table-4", *words)
    assert status == 2 and message in text


def test_what_a_sweep_refuses_is_refused(reproduced, runs):
    for words, message in (
        (["--also", "experiments/gone.yaml"], "experiments/gone.yaml does not exist"),
        (["--config", "gone.yaml"], "gone.yaml does not exist"),
        (["--seed_everything=3"], "--seed_everything cannot be given to all runs"),
        (["--also", "experiments/full.yaml"], "two jobs would train in"),
    ):
        status, text = reproduced("table-8", *words)
        assert status == 1 and message in text, words
    assert not runs.exists()


COMMANDS = commands("video-panda reproduce")


@pytest.mark.parametrize("told", COMMANDS)
def test_a_command_that_is_told_is_one(pretended, reproduced, told, monkeypatch):
    monkeypatch.setattr(command, "cost_table", lambda *_: Table("counted", ["row"], [[Entry("full")]], []))
    assert len(COMMANDS) == 5
    words = told.replace("DATA.yaml", "configs/data/real_clips.yaml").split()
    status, text = reproduced(*words, *([] if "--dry-run" in words else ["--dry-run"]))
    assert ("counted" if "table-3" in words else "Table ") in text
    assert status == 0 and ("+paper" in text) == ("configs/scale/paper.yaml" in words)

"""Which runs can be compared, and what is said of those that cannot."""

import shutil

import pytest

from ablation.stage_record import StageRecord, Start
from tests.ablation.comparing.run_folders import BAD, GOOD, config, provenance, rows, write_run


def line(text, begins):
    return next(line for line in text.splitlines() if line.startswith(begins))


def test_two_runs_of_a_seed_need_a_word(two, compared, refused):
    write_run(two, "full", 0, rows([0] * 40), leaf="seed_0.2")
    error = refused(two)
    assert "full/seed_0, " in error and "--attempts latest" in error and "--attempts average" in error
    assert " 0.0 [" in line(compared(two, "--attempts", "latest", "--baseline", "full"), "| full")
    assert " 43.8 [" in line(compared(two, "--attempts", "average", "--baseline", "full"), "| full")


def test_two_folders_of_one_name_and_seed_are_not_taken_for_one_experiment(two, tmp_path, refused, compared):
    write_run(tmp_path / "elsewhere", "full", 0, rows(BAD))
    error = refused(two, tmp_path / "elsewhere", "--attempts", "latest")
    assert f"full, seed 0 is in {two}/full and in {tmp_path}/elsewhere/full" in error
    (tmp_path / "elsewhere/full/seed_0").rename(tmp_path / "elsewhere/full/seed_1")
    assert "2: 37.5 to 87.5" in line(compared(two, tmp_path / "elsewhere"), "| full")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"known": provenance("paper")}, "scale: toy (full/seed_0) against paper (other/seed_0)"),
        ({"known": provenance(generation={"max_new_tokens": 9, "greedy": True})}, "generation settings: max_new"),
        ({"known": provenance(data={"manifest_sha256": "c" * 64})}, "data manifest"),
        ({"known": provenance(compared={"FreeAnswer": {"sha256": "d" * 64}})}, "comparison of answers with references"),
        ({"known": provenance(data={"question_files": {"/x/q.json": "e"}, "manifest_sha256": "b" * 64})}, ""),
        ({"answers": rows([1] * 41)}, "questions: 80 are the same in all runs (id, video, text and reference)"),
    ],
    ids=["scale", "generation", "manifest", "rules", "unsaid is not different", "questions"],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_and_said(runs, compared, refused, change, words):
    write_run(runs, "full", 0, rows([1] * 40))
    write_run(runs, "other", 0, **{"answers": rows([1] * 40), **change})
    if not words:
        assert "compared although different" not in compared(runs)
        return
    assert words in refused(runs)
    text = compared(runs, "--although-different")
    assert "compared although different (1):" in text and words in text and "over 80 questions" in text


@pytest.mark.parametrize("key", ["question", "reference", "video"])
def test_the_same_ids_with_other_content_are_other_questions(two, refused, key):
    other = [{**row, key: row[key] + "x"} for row in rows(GOOD)]
    write_run(two, "other", 0, other)
    assert "no question is common to all runs" in refused(two, "--although-different")


def test_the_same_clips_in_another_folder_are_the_same(two, compared):
    write_run(two, "moved", 0, rows(GOOD, root="/elsewhere"), settings=config(root="/elsewhere"))
    text = compared(two, "--baseline", "full")
    assert "+0.0 [" in line(text, "| moved") and "- moved: none" in text


def test_seeds_with_other_settings_are_not_one_experiment(two, refused):
    write_run(two, "full", 1, rows(GOOD), settings=config(1, width=9))
    error = refused(two)
    assert "settings of full/seed_1 and full/seed_0, one experiment: model.encoder.width: - -> 9" in error


def test_older_runs_are_compared_by_their_questions_and_that_is_said(two, compared):
    write_run(two, "old", 0, rows(GOOD), known=False)
    (two / "old/seed_0/origin.txt").write_text("config files, later ones win:\n  configs/scale/toy.yaml\n")
    text = compared(two)
    assert "provenance is missing in old/seed_0" in text and "at which scale" not in text
    (two / "old/seed_0/origin.txt").unlink()
    assert "no file says at which scale old/seed_0 ran" in compared(two)


def test_provenance_of_another_form_does_not_stop_a_comparison(two, compared):
    odd = write_run(two, "odd", 0, rows(GOOD), known={"data": 3, "compared": [], "config_files": "x", "code": "y"})
    assert "| odd" in compared(two)
    (odd / "answers/test_scores.json").write_text('{"provenance": [], "benchmarks": [1]}')
    assert "provenance is missing in odd/seed_0" in compared(two)


def chained(runs, experiment, share, last):
    """Make a run the last of a chain, the first stage of which learns from a share of the records."""
    align = write_run(runs, f"{experiment}+align", 0, rows(GOOD), settings={
        **config(), "test_after_fit": False, "data": {"init_args": {"share": share}}})  # fmt: skip
    StageRecord("a" * 64).write(align)
    start = Start(f"elsewhere/{experiment}+align/seed_0/checkpoints/last.ckpt", "b" * 64, "a" * 64)
    StageRecord("c" * 64, start).write(last)


def test_what_differs_in_an_earlier_stage_is_said(runs, compared):
    for name, share in (("full", 0.5), ("full_data", 1.0)):
        chained(runs, name, share, write_run(runs, f"{name}+instruct", 0, rows(GOOD)))
    text = compared(runs)
    assert "- full_data+instruct: align: data.share: 0.5 -> 1.0" in text
    assert "full+align/seed_0: it is a stage that later ones start from, and was not tested" in text
    write_run(runs, "plain", 0, rows(GOOD))
    assert "- plain: earlier stages: align -> none" in compared(runs, "--baseline=full+instruct")
    shutil.rmtree(runs / "full+align")
    text = compared(runs)
    assert "earlier stages of full+instruct/seed_0 are gone: their settings were not compared" in text

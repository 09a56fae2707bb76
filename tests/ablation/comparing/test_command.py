"""The command: what it compares, what it refuses, what it leaves out, and what it writes."""

import csv
import json

import pytest

from ablation.comparing.comparison import compare
from ablation.comparing.experiment import experiments
from ablation.comparing.report import escaped
from ablation.comparing.run import find_runs
from ablation.comparing.tables import text
from tests.ablation.comparing.run_folders import BAD, GOOD, config, provenance, rows, write_run


def line(text, begins):
    return next(line for line in text.splitlines() if line.startswith(begins))


def test_what_is_worse_is_called_so_and_what_was_changed_is_said(two, compared):
    text = compared(two)
    assert " 87.5 [" in line(text, "| full") and "baseline" in line(text, "| full")
    assert " -50.0 [" in line(text, "| worse") and " worse (one seed) | " in line(text, "| worse")
    assert "- worse: model.encoder.local_encoding: LSTE -> NoLSTE" in text
    assert "over questions only: every experiment has one seed" in text
    # 40 colours are right in both runs but for 10; of count, 30 are right in one alone.
    assert "-25.0 [" in line(text, "| colour") and line(text, "| colour").rstrip(" |").endswith("-")


def test_one_run_folder_may_be_given_and_each_counts_once(two, compared):
    assert compared(two / "full/seed_0", two / "worse", two).count("| full ") == 1


def test_the_baseline_is_the_middle_of_the_settings_or_the_one_named(two, compared):
    write_run(two, "another", 0, rows(GOOD), settings=config(fusion="None"))
    assert "baseline" in line(compared(two), "| full")
    assert "baseline" in line(compared(two, "--baseline", "worse"), "| worse")


def test_an_unknown_baseline_or_score_is_named_beside_the_known(two, refused):
    assert "--baseline is 'nil'; there are full, worse" in refused(two, "--baseline", "nil")
    assert "--scores names nil; there are all, colour, count" in refused(two, "--scores", "nil")


def test_small_differences_are_not_distinguishable_or_too_few(runs, compared):
    many = [2, 1] * 2000
    write_run(runs, "full", 0, rows(many))
    write_run(runs, "same", 0, rows(many))
    assert "not distinguishable" in line(compared(runs), "| same")
    write_run(runs, "few", 0, rows(many[:40]))
    write_run(runs, "few2", 0, rows([2, *many[1:37], 2, 2, 0]))
    text = compared(runs / "few", runs / "few2", "--smallest", "5", "--scores", "all")
    assert "| too few data (one seed) |" in line(text, "| few2")
    assert line(text, "- few2: about ").endswith(" questions to see 5.0 points")


def test_seeds_are_one_row_and_their_spread_is_said(runs, compared):
    for seed in range(3):
        write_run(runs, "full", seed, rows(GOOD), settings=config(seed))
        write_run(runs, "worse", seed, rows([1] * 40 if seed else [0] * 20 + [1] * 20), settings=config(seed))
    text = compared(runs)
    assert "3: 25.0 to 50.0" in line(text, "| worse") and "95 % intervals over questions and seeds" in text
    assert "too few data" not in line(text, "| full")


def test_one_experiment_with_one_seed_is_said(two, compared):
    write_run(two, "full", 1, rows(GOOD), settings=config(1))
    assert "over questions only where an experiment has one seed" in compared(two)


def test_what_may_differ_is_said(two, compared):
    write_run(two, "gpu", 0, rows(GOOD), known=provenance(device="H100"))
    assert "device differs: cpu (full/seed_0, worse/seed_0) against H100 (gpu/seed_0)" in compared(
        two, "--baseline", "full"
    )


def spoil(folder, file, content):
    (folder / file).write_text(content)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "- 1", "config.yaml holds list"),
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", '{"figures": {"test/loss": "x"}}', "summary.json has no figures"),
        ("answers/test.jsonl", "", "has no answer"),
        ("answers/test.jsonl", "{oops\n", "line 1 is not an answer"),
        ("answers/test.jsonl", '{"id": "a", "family": "b", "right": "no"}\n', "`right` of question 'a' is 'no'"),
        ("answers/test.jsonl", '{"id": "a"}\n', "answers/test.jsonl cannot be read"),
        ("answers/test_scores.json", "[]", "test_scores.json holds list"),
    ],
)
def test_a_broken_folder_is_left_out_with_the_reason(two, compared, file, content, reason):
    spoil(write_run(two, "broken", 0, rows(GOOD)), file, content)
    text = compared(two)
    assert "| broken" not in text and reason in line(text, f"- {two}/broken/seed_0: ")


def test_unfinished_empty_and_foreign_folders_are_left_out_with_the_reason(two, compared):
    (write_run(two, "running", 0, rows(GOOD)) / "summary.json").unlink()
    (write_run(two, "untested", 0, rows(GOOD)) / "answers/test.jsonl").unlink()
    (two / "empty/seed_0").mkdir(parents=True)
    (two / "notes/old").mkdir(parents=True)
    (two / "sweeps/.locks").mkdir(parents=True)  # of `sweep`, which is nobody's run
    (two / "sweeps/table_4").mkdir()
    write_run(two, "full", 0, rows(GOOD), leaf="test_seed_0")
    text = compared(two)
    assert "left out (5):" in text
    assert "running/seed_0: it is not finished: there is no summary.json" in text
    assert "untested/seed_0: it has no answers to a test" in text
    assert "empty/seed_0: it is empty" in text
    assert "notes/old: it is not a run and contains none" in text
    assert "full/test_seed_0: it is of test; --verb test compares these" in text


def test_tests_by_themselves_are_compared_when_asked_for(runs, compared):
    for name, right in (("full", GOOD), ("worse", BAD)):
        folder = write_run(runs, name, 0, rows(right, families=("msvd/what", "msvd/who")), leaf="test_seed_0")
        (folder / "summary.json").unlink()
        scores = json.loads((folder / "answers/test_scores.json").read_text())
        scores["benchmarks"] = {"msvd": {"questions": 90}}
        (folder / "answers/test_scores.json").write_text(json.dumps(scores))
    text = compared(runs, "--verb", "test", "--baseline", "full")
    assert line(text, "| msvd/what") and "msvd: 10 questions were not asked" in text
    assert not any(line.startswith("| msvd ") for line in text.splitlines())  # all questions are of this benchmark


def judge(folder, verdicts, hash="0" * 64):
    """Write judgements of a run: a verdict per answer, None for one that is unjudged."""
    path = folder / "judgements/test/someone-00000000.jsonl"
    path.parent.mkdir(parents=True)
    answers = [json.loads(line) for line in (folder / "answers/test.jsonl").read_text().splitlines()]
    lines = [
        {
            **{key: row[key] for key in ("id", "video", "question", "reference", "prediction")},
            "aspect": None,
            "right": verdict,
            "unjudged": "no reply" if verdict is None else None,
            "judge": {"name": "someone", "hash": hash},
        }
        for row, verdict in zip(answers, verdicts, strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_judge_says_what_is_right_and_its_unjudged_answers_are_left_out(two, compared):
    judge(two / "full/seed_0", [None] + [True] * 79)
    judge(two / "worse/seed_0", [True, None, None] + [False] * 77)
    write_run(two, "unread", 0, rows(GOOD))
    text = compared(two, "--judge", "someone-00000000", "--baseline", "full")
    assert " 100.0 [" in line(text, "| full") and " 0.0 [" in line(text, "| worse")
    assert "3 questions are left out, since answers to them are unjudged in full/seed_0 (1), worse/seed_0 (2)" in text
    assert "over 77 questions" in text
    assert "unread/seed_0: it has no judgements by someone-00000000; there are: none" in text


def test_two_judges_are_not_compared_nor_judgements_of_other_answers(two, refused):
    judge(two / "full/seed_0", [True] * 80)
    judge(two / "worse/seed_0", [True] * 80, hash="1" * 64)
    error = refused(two, "--judge", "someone-00000000")
    assert "judge: someone-00000000 (full/seed_0) against someone-11111111 (worse/seed_0)" in error
    answers = two / "full/seed_0/answers/test.jsonl"
    answers.write_text(answers.read_text().replace('"prediction": "red"', '"prediction": "blue"'))
    error = refused(two / "full", "--judge", "someone-00000000")
    assert "judges other answers than those that are there now" in error


def test_a_loss_is_compared_over_seeds_and_less_is_better(runs, compared):
    for seed in range(4):
        for name, loss in (("full", 0.5), ("better", 0.2)):
            figures = {"test/loss": loss + 0.01 * seed}
            write_run(runs, name, seed, rows(GOOD), settings=config(seed), figures=figures)
    text = compared(runs, "--baseline", "full")
    assert "-0.300 [" in line(text, "| test/loss") and line(text, "| test/loss").endswith("] + |")


def test_a_loss_that_is_no_number_is_said_and_not_averaged(two, compared):
    write_run(two, "full", 1, rows(GOOD), settings=config(1), figures={"test/loss": float("nan")})
    text = compared(two, "--baseline", "full")
    assert "full: test/loss is missing or no number in 1 of its seeds" in text
    assert "0.500" in line(text, "| full") and "nan" not in text


def test_nothing_to_compare_is_an_error(two, runs, refused, tmp_path):
    assert "does not exist" in refused(tmp_path / "nil")
    assert "is not a folder" in refused(two / "full/seed_0/summary.json")
    assert "needs two experiments" in refused(two / "full")
    (tmp_path / "void").mkdir()
    assert "no finished run" in refused(tmp_path / "void")
    assert "--smallest is 0" in refused(two, "--smallest", "0")
    assert "cannot be written" in refused(two, "--csv", "/dev/null/x.csv")


def test_the_files_hold_what_is_printed(two, compared, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("markdown", "csv", "latex")}
    text = compared(two, *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert text.startswith(files["markdown"].read_text().rstrip())
    lines = list(csv.DictReader(files["csv"].open()))
    assert [(line["experiment"], line["score"]) for line in lines[:2]] == [("full", "all"), ("full", "colour")]
    worse = next(line for line in lines if line["experiment"] == "worse" and line["score"] == "all")
    assert float(worse["difference"]) == pytest.approx(-0.5) and worse["verdict"] == "worse"
    assert float(worse["p_corrected"]) == pytest.approx(2 * float(worse["p"]))  # half of the 5 % is for this one
    latex = files["latex"].read_text()
    assert r"\toprule" in latex and r"\mathbf{-50.0" in latex and latex.count(r" \\") == 3
    assert r"\_" not in latex.splitlines()[5]


def test_a_wide_table_of_scores_is_without_intervals_where_there_is_no_room(two):
    runs, _ = find_runs([two], "fit")
    compared_experiments = experiments(runs, None)
    comparison = compare(compared_experiments, compared_experiments[0], 0.02, although_different=False)
    wide, narrow = text(comparison, {}, []), text(comparison, {}, [], columns=60)
    assert line(wide, "| count").count("[") == 2 and "[" not in line(narrow, "| count")
    assert "-75.0 -" in line(narrow, "| count") and "-75.0 [" in line(wide, "| count")


def test_costs_that_cannot_be_counted_are_said(two, compared):
    text = compared(two, "--costs")
    assert text.count("no costs: ") == 2 and "| worse" in text


def test_nothing_in_a_name_means_anything_to_latex():
    assert escaped(r"a_b\c{50%} ~^<>") == (
        r"a\_b\textbackslash{}c\{50\%\} \textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
    )


def test_a_run_whose_answers_were_cut_is_left_out_by_name(two, compared):
    write_run(two, "worse", 1, rows(BAD), settings=config(1, local_encoding="NoLSTE"))
    answers = two / "worse/seed_1/answers/test.jsonl"
    scores = answers.with_name("test_scores.json")
    known = json.loads(scores.read_text()) if scores.is_file() else {}
    scores.write_text(json.dumps(known | {"scores": {"exact_match/mean": {"questions": 80}}}))
    lines = answers.read_bytes().splitlines(keepends=True)
    for content, reason in (
        (b"".join(lines)[:-9], "answers/test.jsonl ends in the middle of an answer"),
        (b"".join(lines[:-1]), "answers/test.jsonl has 79 answers, of which test_scores.json counted 80"),
    ):
        answers.write_bytes(content)
        text = compared(two)
        assert f"{answers.parents[1]}: {reason}" in text and "over 80 questions" in text

"""Runs that ask benchmarks."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ablation.judging.answers import read_generated_answers
from lightning_modules.config.chain import read_config
from lightning_modules.resolve import resolve
from tests.datamodules.benchmark_excerpts import write_benchmark

FULL = ("--config", "experiments/full.yaml")
REAL_CLIPS = ("--config", "configs/data/real_clips_qa.yaml")
TYPES = ("generic", "temporal", "consistency_1")
DESCRIPTIONS = sorted(Path("configs/benchmarks").glob("*qa.yaml"))


def described(config):
    return read_config(Path(config))["data"]["init_args"]["benchmarks+"]


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_descriptions_go_together_and_with_an_experiment_in_either_order():
    files = [f"--config={config}" for config in DESCRIPTIONS]
    names = [described(config)[0]["name"] for config in DESCRIPTIONS]
    for arguments in (["--config=experiments/frames_4.yaml", *files], [*files, "--config=experiments/frames_4.yaml"]):
        data = resolve(["test", *arguments]).config.data.init_args
        assert [benchmark.name for benchmark in data.benchmarks] == names
        assert data.sampler.init_args.frames == 4 and data.canvas == 36
        assert data.root == "data/benchmarks", "and not that of another data module"


@pytest.mark.long
def test_the_real_clips_are_asked_and_scored(run, capsys):
    trained = run("fit", *FULL, "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false")
    checkpoint = trained.folder / "checkpoints/last.ckpt"
    cli = run("test", *FULL, *REAL_CLIPS, f"--ckpt_path={checkpoint}", "--data.eval_batch_size=26", tiny=False)
    answers = rows(cli.folder / "answers/test.jsonl")
    assert len({row["id"] for row in answers}) == len(answers) == 35 + 17
    assert "real_clips_qa/v_bottle_detection_0" in {row["id"] for row in answers}
    reports = json.loads((cli.folder / "answers/test_benchmarks.json").read_text())
    assert [(report["name"], report["videos"], report["warnings"]) for report in reports] == [
        ("real_clips_qa", 14, []), ("real_clips_video_chatgpt", 8, [])
    ]  # fmt: skip
    for report in reports:
        of_it = [row["right"] for row in answers if row["family"] in report["questions"]]
        assert len(of_it) == sum(report["questions"].values())
        assert cli.summary.figures[f"test/accuracy/{report['name']}"] == pytest.approx(sum(of_it) / len(of_it))
        assert cli.summary.figures[f"test/unanswered/{report['name']}"] == 0
    assert not any(name.endswith("/mean") for name in cli.summary.figures), "two benchmarks have none in common"
    content = json.loads((cli.folder / "answers/test_scores.json").read_text())
    files = {Path(file).name for file in content["provenance"]["data"]["question_files"]}
    assert files == {"test_q.json", "test_a.json", "generic_qa.json", "temporal_qa.json", "consistency_qa.json"}
    known = read_config(Path(REAL_CLIPS[1]))["data"]["init_args"]["benchmarks+"][0]["sha256"]
    for file, sha256 in known.items():
        assert content["provenance"]["data"]["question_files"][f"tests/data/{file}"] == sha256
    assert content["counts"] == {
        "questions": 52, "videos": 14, "answered": 52, "unanswered": 0, "missing_clips": 0
    }  # fmt: skip
    asked = Counter(answer.aspect for answer in read_generated_answers([cli.folder / "answers/test.jsonl"]))
    types = reports[1]["questions"]
    generic, temporal, pairs = (types[f"real_clips_video_chatgpt/{kind}"] for kind in TYPES)
    assert asked == {
        None: 35, "correctness": generic, "detail": generic, "context": generic, "temporal": temporal,
        "consistency": pairs,
    }  # fmt: skip
    assert rows(cli.folder / "answers/test_unanswered.jsonl") == []
    assert "test/exact_match/real_clips_qa/colour" in capsys.readouterr().out
    saved = ("--config", str(trained.folder / "config.yaml"))
    again = run("test", *saved, *REAL_CLIPS, f"--ckpt_path={checkpoint}", "--trainer.limit_test_batches=1", tiny=False)
    asked_again = [row["id"] for row in rows(again.folder / "answers/test.jsonl")]
    assert asked_again == [row["id"] for row in answers[:4]], "a saved configuration can be asked other questions"


@pytest.mark.long
def test_questions_about_missing_videos_count_as_not_answered(run, tmp_path, fails):
    activitynet, nextqa = "configs/benchmarks/activitynet_qa.yaml", "configs/benchmarks/nextqa.yaml"
    for config in (activitynet, nextqa):
        write_benchmark(tmp_path, described(config)[0])
    (gone,) = tmp_path.rglob("v_clip_b.mp4")
    gone.unlink()
    command = ("test", *FULL, f"--config={activitynet}", f"--config={nextqa}", f"--data.root={tmp_path}")
    status, error = fails(*command, f"--runs={tmp_path / 'runs'}", "--trainer.accelerator=cpu")
    assert status == 1 and "activitynet_qa: 1 of 2 videos are missing in" in error and "v_clip_b; 1 of 3" in error
    cli = run(*command, "--data.max_missing_share=0.5", tiny=False)
    figures = cli.summary.figures
    assert figures["test/unanswered/activitynet_qa"] == 1 and figures["test/accuracy/activitynet_qa"] == 0
    assert figures["test/unanswered/nextqa"] == 2, "an untrained model's replies choose no option"
    assert "test/accuracy_of_answered/nextqa" not in figures
    content = json.loads((cli.folder / "answers/test_scores.json").read_text())
    assert content["benchmarks"]["activitynet_qa"] == {
        "questions": 3, "videos": 2, "answered": 2, "unanswered": 1, "missing_clips": 1
    }  # fmt: skip
    over = {name: (score["questions"], score["videos"]) for name, score in content["scores"].items()}
    assert over["accuracy/activitynet_qa"] == (3, 2) and over["accuracy_of_answered/activitynet_qa"] == (2, 1)
    assert over["accuracy/nextqa"][0] == content["benchmarks"]["nextqa"]["unanswered"] == 2
    shares = {name.removeprefix("test/") for name in figures} - {"loss"}
    assert content["scores"].keys() == {name for name in shares if name.startswith(("exact_match/", "accuracy"))}
    assert [row["family"] for row in rows(cli.folder / "answers/test_unanswered.jsonl")] == ["activitynet_qa/colour"]


def shortened(text):
    return text[: len(text) // 2]


def asked_twice(text):
    return json.dumps([*json.loads(text), json.loads(text)[0]])


def without_a_question(text):
    return json.dumps(json.loads(text)[:-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shortened, r"test_q\.json, line 1, column \d+: not valid JSON: "),
        (asked_twice, r"test_q\.json, row 3: question_id '.*' is taken by .*test_q\.json, row 0$"),
        (without_a_question, r"test_q\.json: 1 answers have no question here, by question_id: v_clip_b_1"),
    ],
)
def test_a_question_file_that_cannot_be_asked_ends_a_test_with_one_line(fails, tmp_path, change, message):
    config = "configs/benchmarks/activitynet_qa.yaml"
    write_benchmark(tmp_path, described(config)[0])
    (file,) = tmp_path.rglob("test_q.json")
    file.write_text(change(file.read_text()))
    arguments = (f"--data.root={tmp_path}", f"--runs={tmp_path / 'runs'}", "--trainer.accelerator=cpu")
    status, error = fails("test", *FULL, f"--config={config}", *arguments)
    assert status == 1 and re.search(f"^error: .*{message}", error.splitlines()[-1])


def test_nothing_is_learnt_from_benchmarks(fails, tmp_path):
    status, error = fails("fit", *FULL, *REAL_CLIPS, f"--runs={tmp_path}", "--trainer.accelerator=cpu")
    assert status == 1 and "name training data, such as --config configs/data/real_clips.yaml" in error


def test_an_unknown_form_is_said_with_the_known_ones(fails, tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(Path("configs/benchmarks/nextqa.yaml").read_text().replace("NExTQuestions", "NExtQuestions"))
    status, error = fails("test", *FULL, f"--config={config}")
    assert status == 2 and "unknown questions 'NExtQuestions'" in error and "did you mean NExTQuestions?" in error

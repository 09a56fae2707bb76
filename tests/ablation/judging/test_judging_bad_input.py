"""Files and command lines that `judge` refuses, each with one line that says why."""

import json

import pytest

from ablation.judging.answers import read_generated_answers
from ablation.judging.command import main
from lightning_modules.scoring.answer_store import AnswerStore
from tests.ablation.judging.faulty_server import FaultyServer
from tests.ablation.judging.stored_answers import SETTINGS, read_lines, row, save_answers


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr().err
    assert ended.value.code in (1, 2) and "Traceback" not in output
    return output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("id,question\n", "a.jsonl, line 2 is not JSON"),
        ('{"id": "q1", "ques', "a.jsonl, line 2 is not JSON"),
        ("[1]", "line 2 must be an object"),
        (json.dumps({"id": "q9", "question": "?"}), "line 2 lacks reference, prediction"),
        (json.dumps(row(0)), "line 2: question 'q0' was answered before, in a.jsonl, line 1"),
        (json.dumps(row(2, prediction=None)), "line 2: prediction is None; it must be text"),
        (json.dumps(row(2, prediction=2)), "line 2: prediction is 2; it must be text"),
        (json.dumps(row(2, prediction="\ud800")), "line 2: prediction has half a character"),
        (json.dumps(row(2, reference=" ")), "line 2: reference is empty"),
        (json.dumps(row(2, question="")), "line 2: question is empty"),
        (json.dumps(row(2, id=None)), "line 2: id is None"),
        (json.dumps(row(2, aspect="style")), "unknown aspect 'style'; known: correctness"),
        (json.dumps(row(2, aspect="consistency")), "lacks second_question, second_prediction"),
    ],
)
def test_answers_that_are_none(tmp_path, capsys, line, message):
    file = save_answers(tmp_path / "a.jsonl", [row(0)])
    file.write_text(f"{file.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    assert message in refused(capsys, "a.jsonl", "--judge=ExactMatch")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_files_that_are_none(tmp_path, capsys):
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    assert "nowhere does not exist" in refused(capsys, "nowhere", "--judge=ExactMatch")
    assert "cannot be read as text" in refused(capsys, "binary.jsonl", "--judge=ExactMatch")
    assert "no answers" in refused(capsys, "empty.jsonl", "--judge=ExactMatch")
    assert "holds no answers: answers/test.jsonl does not exist" in refused(capsys, ".", "--judge=ExactMatch")


def test_command_lines_that_are_wrong(tmp_path, capsys):
    save_answers(tmp_path / "a.jsonl", [row(0)])
    known = "ExactMatch, LikelihoodJudge, LocalJudge, ServerJudge"
    unknown = f"error: unknown judge 'ExactMach' (judge); known: {known}; did you mean "
    assert refused(capsys, "a.jsonl", "--judge=ExactMach").startswith(unknown)
    assert "NO_SUCH has no API key" in refused(
        capsys, "a.jsonl", "--judge=ServerJudge", "--judge.model=m", "--judge.api_key_variable=NO_SUCH"
    )
    assert "ExactMatch tells right from wrong" in refused(
        capsys, "a.jsonl", "--judge=ExactMatch", "--aspects", "detail"
    )
    assert "invalid choice: 'style'" in refused(capsys, "a.jsonl", "--judge=ExactMatch", "--aspects", "style")
    assert "no.yaml does not exist" in refused(capsys, "a.jsonl", "--judge=ExactMatch", "--judge.synonyms=no.yaml")
    assert "judge" in refused(capsys, "a.jsonl")
    (tmp_path / "judge.yaml").write_text("judge: {class_path: LocalJudge}\njudge: {class_path: ExactMatch}\n")
    twice = "judge.yaml is not valid YAML: line 2: `judge` stands here and in line 1 already"
    assert twice in refused(capsys, "a.jsonl", "--config=judge.yaml")


def test_no_server(tmp_path, capsys):
    save_answers(tmp_path / "a.jsonl", [row(0)])
    there = ("--judge.base_url=http://127.0.0.1:9/v1", "--judge.api_key_variable=null", "--judge.backoff=0")
    assert "error: no server answers at http://127.0.0.1:9/v1/chat/completions" in refused(
        capsys, "a.jsonl", "--judge=ServerJudge", "--judge.model=m", *there
    )
    assert not (tmp_path / "judgements").exists()


def test_an_empty_prediction_is_an_answer_and_counted(tmp_path, capsys):
    save_answers(tmp_path / "a.jsonl", [row(1), row(2, prediction="")])
    main(["a.jsonl", "--judge=ExactMatch"])
    assert "answers: 2 in a.jsonl, 1 of them empty" in capsys.readouterr().out
    [file] = (tmp_path / "judgements" / "a").iterdir()
    assert [line["right"] for line in read_lines(file)] == [True, False]


def test_a_model_is_asked_about_an_empty_prediction_as_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", "key")
    save_answers(tmp_path / "a.jsonl", [row(1), row(2, prediction="")])
    with FaultyServer() as server:
        main(["a.jsonl", "--judge=ServerJudge", "--judge.model=m", f"--judge.base_url={server.url}", *SETTINGS])
    assert "answers: 2 in a.jsonl, 1 of them empty" in capsys.readouterr().out
    prompts = [body["messages"][-1]["content"] for _, body in server.requests]
    assert ["Answer of the model: \n" in prompt for prompt in prompts].count(True) == 1
    [file] = (tmp_path / "judgements" / "a").iterdir()
    assert [(line["right"], line["unjudged"]) for line in read_lines(file)] == [(True, None), (False, None)]


def test_the_answers_of_several_processes_are_one_set(tmp_path, capsys):
    for rank in range(2):
        save_answers(AnswerStore.of_run(tmp_path / "run", rank=rank).own, [row(rank), row(rank + 2)])
    main(["run", "--judge=ExactMatch"])
    [file] = (tmp_path / "run" / "judgements" / "test").iterdir()
    assert [line["id"] for line in read_lines(file)] == ["q0", "q2", "q1", "q3"]


def test_line_ends_within_a_text_end_no_line(tmp_path):
    asked = row(1, question="What\u2028is\x85this?")
    file = save_answers(tmp_path / "a.jsonl", [asked])
    [answer] = read_generated_answers([file])
    assert answer.comparison.question == asked["question"]

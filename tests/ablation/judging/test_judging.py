"""The program `judge`: what it writes and prints, what it asks and what it does not ask again."""

import json

import pytest

from ablation.judging.command import main
from ablation.judging.judge import Comparison, ExactMatch, Judgement
from ablation.judging.judgements import JudgementCache, read_judgements
from lightning_modules.cli import main as command_line
from tests.ablation.judging.faulty_server import FaultyServer, seeded_faults, verdict
from tests.ablation.judging.stored_answers import SETTINGS, read_lines, row, save_answers

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def answers(tmp_path):
    rows = [row(number, video=f"v{number // 2}") for number in range(30)]
    return save_answers(tmp_path / "run" / "answers" / "test.jsonl", rows)


def judge(server, answers, *more):
    main([str(answers), "--judge=ServerJudge", "--judge.model=m", f"--judge.base_url={server.url}", *SETTINGS, *more])


def judgement_file(folder):
    [file] = (folder / "judgements" / "test").iterdir()
    return file


def test_a_run_is_judged_through_the_command_line(answers, tmp_path, capsys):
    main([str(tmp_path / "run"), "--judge=ExactMatch"])
    output = capsys.readouterr().out
    label = ExactMatch().identity.label
    file = tmp_path / "run" / "judgements" / "test" / f"{label}.jsonl"
    lines = read_lines(file)
    assert [line["id"] for line in lines] == [f"q{number}" for number in range(30)]
    assert [line["right"] for line in lines] == [number % 3 != 0 for number in range(30)]
    assert {line["judge"]["hash"] for line in lines} == {ExactMatch().identity.hash}
    assert f"accuracy/{label}: 66.7 % [" in output and f"coverage/{label}: 100.0 % (30 of 30 judged)" in output
    assert "clustered by video" in output


def test_a_judge_from_yaml_and_a_file_of_ones_own(tmp_path, capsys):
    file = save_answers(tmp_path / "mine.jsonl", [row(1, prediction="bike"), row(2, reference="the Bicycle")])
    config = tmp_path / "judge.yaml"
    config.write_text("judge: {class_path: ExactMatch, init_args: {synonyms: [[bike, '1']]}}\n", encoding="utf-8")
    main([str(file), "--config", str(config)])
    [written] = (tmp_path / "judgements" / "mine").iterdir()
    assert [line["right"] for line in read_lines(written)] == [True, False]
    assert "clustered by question" in capsys.readouterr().out


def test_faults_lose_nothing_and_what_was_asked_is_not_asked_again(answers, tmp_path, capsys):
    with FaultyServer(seeded_faults) as server:
        for _ in range(2):
            judge(server, answers, "--judge.attempts=12", "--judge.timeout=1.5")
        requests = len(server.requests)
    assert server.answered == dict.fromkeys((f"How many {number}?" for number in range(30)), 1)
    assert [line["right"] for line in read_lines(judgement_file(tmp_path / "run"))] == [n % 3 != 0 for n in range(30)]
    assert "judged before: 30" in capsys.readouterr().out and requests > 30


def test_another_run_with_the_same_answers_and_the_same_answer_twice_ask_nothing(answers, tmp_path):
    twice = [row(number, id=f"{copy}-{number}") for copy in "ab" for number in range(5)]
    other = save_answers(tmp_path / "other" / "answers" / "test.jsonl", twice)
    with FaultyServer() as server:
        judge(server, other)
        assert len(server.requests) == 5
        judge(server, answers)
        assert len(server.requests) == 30
    assert len(read_lines(judgement_file(tmp_path / "other"))) == 10


def test_unjudged_answers_are_reported_and_not_wrong(answers, tmp_path, capsys):
    sulky = lambda prompt: "No comment." if "How many 1?" in prompt else verdict(prompt)  # noqa: E731
    gone = lambda question, _: "500" if question == "How many 2?" else None  # noqa: E731
    with FaultyServer(gone, sulky) as server:
        judge(server, answers, "--judge.attempts=2")
        output = capsys.readouterr().out
        asked = len(server.requests)
        server.fault = lambda *_: None
        judge(server, answers, "--judge.attempts=2")
    first = {line["id"]: line for line in read_lines(judgement_file(tmp_path / "run"))}
    assert "of 28 judged answers" in output and "(28 of 30 judged)" in output
    assert "unjudged: 1 x the reply is not a JSON object (asked 3 times)" in output and "status 500" in output
    assert (first["q1"]["right"], first["q1"]["reply"]) == (None, "No comment.")
    # What could not be read was a reply, and stays; what the server failed to answer is asked for.
    assert len(server.requests) == asked + 1 and first["q2"]["right"] is True


def test_a_dry_run_asks_nothing_and_says_what_it_would_take(answers, tmp_path, capsys):
    with FaultyServer() as server:
        judge(server, save_answers(tmp_path / "some.jsonl", [row(number) for number in range(10)]))
        capsys.readouterr()
        judge(server, answers, "--dry-run", "--prices=[1000,100000]")
        assert len(server.requests) == 10
    output = capsys.readouterr().out
    assert "judged before: 10" in output and "calls to a model: 20" in output
    read = int(output.split("tokens: about ")[1].split(" ")[0].replace(",", ""))
    assert 20 * 100 < read < 20 * 400 and "and 400 to write" in output
    assert f"cost: about {read / 1000 + 40:.2f}" in output
    assert not (tmp_path / "run" / "judgements").exists()


def test_aspects_are_scored_and_join_what_was_judged_before(answers, tmp_path, capsys):
    reply = lambda prompt: '{"score": 3}' if "Give a score" in prompt else verdict(prompt)  # noqa: E731
    with FaultyServer(reply=reply) as server:
        judge(server, answers)
        judge(server, answers, "--aspects", "detail", "context")
    output = capsys.readouterr().out
    lines = read_lines(judgement_file(tmp_path / "run"))
    assert [line["aspect"] for line in lines].count(None) == 30 and len(lines) == 90
    assert "score/detail/m-" in output and "3.00 [3.00, 3.00] of 30 judged answers" in output
    assert "warning: the judge gives every one of 30 answers the score 3 for context" in output


def test_an_aspect_may_be_that_of_each_answer(tmp_path):
    pair = {"second_question": "Which number?", "second_prediction": "1"}
    file = save_answers(tmp_path / "a.jsonl", [row(1, aspect="consistency", **pair), row(1, aspect="temporal")])
    with FaultyServer(reply=lambda _: '{"score": 4}') as server:
        judge(server, file)
        assert "Second question: Which number?" in server.requests[0][1]["messages"][1]["content"] or (
            "Second question: Which number?" in server.requests[1][1]["messages"][1]["content"]
        )


def test_aspects_are_those_of_each_question_and_a_pair_is_judged_together(tmp_path, capsys, caplog):
    rows = [
        row(1, id="generic/0", aspects=["correctness", "detail"]),
        row(2, id="c/0/1", aspects=["consistency"], prediction="one"),
        row(3, id="c/1/1", aspects=["consistency"]),
        row(4, id="open"),
        row(5, id="c/0/2", aspects=["consistency"], question="How many are two?", prediction="two"),
    ]
    file = save_answers(tmp_path / "a.jsonl", rows)
    reply = lambda prompt: '{"score": 4}' if "Give a score" in prompt else verdict(prompt)  # noqa: E731
    with FaultyServer(reply=reply) as server:
        judge(server, file)
        prompts = [request[1]["messages"][1]["content"] for request in server.requests]
    (pair,) = (prompt for prompt in prompts if "Second question" in prompt)
    assert "Second question: How many are two?" in pair and "one" in pair and "two" in pair
    lines = read_lines(next((tmp_path / "judgements" / "a").glob("m-*.jsonl")))
    assert [(line["id"], line["aspect"]) for line in lines] == [
        ("generic/0", "correctness"), ("generic/0", "detail"), ("c/0/1", "consistency"), ("open", None)
    ]  # fmt: skip
    assert "1 answers are left out of consistency" in caplog.text
    # A judge that gives no scores says of each whether it is right.
    main([str(file), "--judge=ExactMatch", f"--cache={tmp_path / 'cache'}"])
    assert "answers: 5 in" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_judge_that_always_says_the_same_is_suspicious(answers, capsys, word):
    with FaultyServer(reply=lambda _: json.dumps({"pred": word, "score": 3})) as server:
        judge(server, answers)
    assert f"warning: the judge says {word} to every one of 30 answers" in capsys.readouterr().out


def test_a_web_page_stops_it_and_nothing_counts_as_wrong(answers, tmp_path, capsys):
    page = lambda question, _: (200, "<html>") if question == "How many 7?" else None  # noqa: E731
    with FaultyServer(page) as server, pytest.raises(SystemExit) as ended:
        judge(server, answers, "--judge.concurrency=1")
    output = capsys.readouterr()
    assert ended.value.code == 1 and "error: " in output.err and "answers with a web page (HTML)" in output.err
    lines = read_lines(judgement_file(tmp_path / "run"))
    assert [line["unjudged"] is None for line in lines] == [number < 7 for number in range(30)]
    assert [line["right"] for line in lines[7:]] == [None] * 23 and "(7 of 30 judged)" in output.out


def test_a_judge_that_never_judged_leaves_no_file(answers, tmp_path, capsys):
    with FaultyServer(lambda *_: (200, "<html>")) as server, pytest.raises(SystemExit):
        judge(server, answers)
    assert not (tmp_path / "run" / "judgements").exists() and not (tmp_path / "data").exists()


def test_several_models_under_one_name_are_told(answers, capsys):
    with FaultyServer() as server:
        judge(server, answers)
        output = capsys.readouterr().out
        assert "answered by judge-2026" in output and "several models" not in output
    with FaultyServer(models=("judge-2026", "judge-2027")) as server:
        judge(server, answers, "--judge.revision=other")
    output = capsys.readouterr().out
    assert (
        "answered by judge-2026, judge-2027" in output and "warning: several models answered under one name" in output
    )


def test_the_key_is_in_no_file_and_no_output(answers, tmp_path, capsys):
    told = lambda question, _: (400, f"wrong: Bearer {KEY}") if question == "How many 1?" else None  # noqa: E731
    with FaultyServer(told, lambda prompt: f"{KEY} {verdict(prompt)}") as server:
        judge(server, answers)
    output = capsys.readouterr()
    assert any(headers["Authorization"] == f"Bearer {KEY}" for headers, _ in server.requests)
    written = "".join(path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "***" in written and KEY not in written + output.out + output.err


def test_a_broken_line_of_the_cache_is_left_out_and_told_and_the_next_one_is_whole(tmp_path):
    identity, asked = ExactMatch().identity, [Comparison(f"Q{n}", "R", "P") for n in range(4)]
    cache = JudgementCache(tmp_path, identity)
    for answer in asked[:3]:
        cache.add(answer, Judgement(right=True, reply="yes"))
    content = cache.path.read_bytes()
    cache.path.write_bytes(content[:-20])
    again = JudgementCache(tmp_path, identity)
    assert (again.broken, [again.get(answer) is not None for answer in asked]) == (1, [True, True, False, False])
    again.add(asked[3], Judgement(right=True, reply="yes"))
    last = JudgementCache(tmp_path, identity)
    assert (last.broken, [last.get(answer) is not None for answer in asked]) == (1, [True, True, False, True])


def test_folders_that_cannot_be_written(tmp_path, answers, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "run" / "judgements").write_text("", encoding="utf-8")
    for more, message in ((["--cache=file"], "cannot be read: Not a directory"), ([], "cannot be written")):
        with pytest.raises(SystemExit) as ended:
            main([str(answers), "--judge=ExactMatch", *more])
        assert ended.value.code == 1 and message in capsys.readouterr().err


@pytest.mark.parametrize("program", ["judge", "agreement"])
def test_it_is_a_program_of_the_command_line(program, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line([program, "--help"])
    assert ended.value.code == 0 and f"video-panda {program}" in capsys.readouterr().out


def test_what_is_written_can_be_read(answers, tmp_path):
    main([str(answers), "--judge=ExactMatch"])
    name, judged = read_judgements(judgement_file(tmp_path / "run"))
    assert name == ExactMatch().identity.label and len(judged) == 30

"""A judge behind a server, against a real one that fails."""

import importlib
import json
import logging
import multiprocessing
import socket
import struct
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from ablation.judging.judge import Comparison, JudgeError
from ablation.judging.pace import Pace
from ablation.judging.server import ServerJudge
from datamodules.answer_kind import Aspect
from tests.ablation.judging.faulty_server import FaultyServer, seeded_faults, verdict

KEY = "sk-very-secret-0123456789"
ANSWERS = [Comparison(f"How many {n}?", str(n), str(n if n % 3 else n + 1)) for n in range(60)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def judge_at(server, **more):
    settings = {"base_url": server.url, "api_key_variable": "JUDGE_KEY", "backoff": 0.01, "timeout": 1.5, **more}
    return ServerJudge("judge", **settings)


@pytest.mark.long
def test_no_answer_is_lost_or_judged_twice_or_wrong_whatever_the_server_does():
    with FaultyServer(seeded_faults) as server:
        judge = judge_at(server, attempts=12)
        with ThreadPoolExecutor(judge.concurrency) as pool:
            judgements = [judgement for [judgement] in pool.map(lambda answer: judge.judge([answer]), ANSWERS)]
    assert all(count == 1 for count in server.answered.values()) and len(server.answered) == len(ANSWERS)
    assert sum(server.attempts.values()) > 1.2 * len(ANSWERS)
    for asked, judgement in zip(ANSWERS, judgements, strict=True):
        assert judgement.right is (asked.prediction == asked.reference) and judgement.unjudged is None
        assert judgement.answered_by == "judge-2026"


@pytest.mark.parametrize("fault", ["429", "500", "half", "types", "drop", "slow", "long", "bomb", "drip"])
def test_a_server_that_always_fails_leaves_an_answer_unjudged(fault):
    with FaultyServer(lambda *_: fault) as server:
        [judgement] = judge_at(server, attempts=2, timeout=0.2).judge(ANSWERS[:1])
    assert server.attempts[ANSWERS[0].question] == 2
    assert judgement.right is judgement.score is judgement.reply is None
    assert "(2 attempts)" in judgement.unjudged


def test_a_server_that_drips_headers_is_left_when_the_time_is_over():
    begun = time.monotonic()
    with FaultyServer(lambda _, attempt: "headers" if attempt < 3 else None) as server:
        judge = judge_at(server, attempts=2, timeout=0.2)
        [judgement] = judge.judge(ANSWERS[1:2])
        assert judgement.unjudged == "no whole answer within 0.4 s (2 attempts)"
        assert judge.judge(ANSWERS[1:2])[0].right is True
    assert time.monotonic() - begun < 5
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_an_answer_that_is_packed_unasked_is_read():
    with FaultyServer(lambda *_: "packed") as server:
        assert judge_at(server).judge(ANSWERS[1:2])[0].right is True
    assert server.requests[0][0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("3600", 60, 60), ("inf", 60, 60)]
    + [(bad, 0.005, 0.01) for bad in ("-3", "nan", "soon", "Wed, 21 Oct 2099 07:28:00 GMT")],
)
def test_a_server_is_given_the_time_it_asks_for_and_no_more_than_a_minute(retry_after, low, high, monkeypatch):
    waits = []
    monkeypatch.setattr(Pace, "sleep", lambda _, seconds: waits.append(seconds))
    with FaultyServer(lambda _, attempt: (429, "{}", {"Retry-After": retry_after}) if attempt == 1 else None) as server:
        assert judge_at(server).judge(ANSWERS[:1])[0].unjudged is None
    assert len(server.requests) == 2 and low <= max(waits) <= high


def test_a_server_that_fails_for_everything_is_given_up():
    with FaultyServer(lambda *_: "500") as server:
        judge = judge_at(server, attempts=1)
        with pytest.raises(JudgeError, match=r"no reply to 10 questions in a row; the last time: status 500"):
            for asked in ANSWERS:
                judge.judge([asked])
    assert len(server.requests) == 10


def test_what_cannot_be_read_is_asked_again_and_then_unjudged_with_the_last_reply():
    replies = iter(["What?", '{"pred": "perhaps", "score": 3}', verdict("Reference answer: 1\nAnswer of the model: 1")])
    with FaultyServer(reply=lambda _: next(replies)) as server:
        assert judge_at(server).judge(ANSWERS[1:2])[0].right is True
    with FaultyServer(reply=lambda _: "It is right, I think.") as server:
        [judgement] = judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 3
    assert judgement.right is None and judgement.reply == "It is right, I think."
    assert judgement.unjudged == "the reply is not a JSON object (asked 3 times)"


def test_a_request_has_model_parameters_messages_and_the_key_in_its_header_alone():
    with FaultyServer() as server:
        judge_at(server, parameters={"top_p": 0.5}).judge(ANSWERS[:1])
        judge_at(server, api_key_variable=None).judge(ANSWERS[:1])
    (headers, body), (without, _) = server.requests
    assert headers["Authorization"] == f"Bearer {KEY}" and KEY not in json.dumps(body)
    assert "Authorization" not in without
    assert (body["model"], body["top_p"], [message["role"] for message in body["messages"]]) == (
        "judge",
        0.5,
        ["system", "user"],
    )


def test_an_aspect_has_its_own_prompt_and_a_score_alone():
    asked = Comparison("Who?", "A cat", "A cat", Aspect.CONSISTENCY, "Which animal?", "A dog")
    with FaultyServer(reply=lambda _: '{"score": 2}') as server:
        [judgement] = judge_at(server).judge([asked])
    assert (judgement.right, judgement.score) == (None, 2)
    assert "Second question: Which animal?" in server.requests[0][1]["messages"][1]["content"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, "<!DOCTYPE html><p>Welcome"), "answers with a web page"),
        ((200, "Welcome", {"Content-Type": "text/html"}), "answers with a web page"),
        ((404, "<html>", {"Content-Type": "text/html"}), "answers with a web page"),
        ((404, '{"error": "no model judge"}'), "has no such address or model; it says status 404: .*no model judge"),
        ((401, f'{{"error": "wrong key {KEY}"}}'), r"refuses the API key; it says .*wrong key \*\*\*"),
        ((403, f'{{"error": {{"message": "{KEY}"}}}}'), r"refuses the API key; it says status 403: .*\*\*\*"),
        ((302, "", {"Location": "http://127.0.0.1:9/v1"}), "is elsewhere: http://127.0.0.1:9/v1; give that address"),
    ],
)
def test_an_address_that_is_none_stops_at_once(answer, message):
    with FaultyServer(lambda *_: answer) as server, pytest.raises(JudgeError, match=message) as raised:
        judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 1 and KEY not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed_with_the_key(status):
    with FaultyServer() as other:
        to_other = (status, "", {"Location": f"{other.url}/chat/completions"})
        with FaultyServer(lambda *_: to_other) as server, pytest.raises(JudgeError, match="is elsewhere"):
            judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 1 and not other.requests


@pytest.mark.parametrize("variable", ["JUDGE_KEY", None])
def test_variables_of_openai_change_neither_address_nor_key_nor_headers(monkeypatch, variable):
    with FaultyServer() as other, FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer stray\nX-Gateway: stray\nCookie: stray")
        for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
            monkeypatch.setenv(f"OPENAI_{name}", "stray")
        judge_at(server, api_key_variable=variable).judge(ANSWERS[:1])
    [(headers, body)] = server.requests
    assert headers.get("Authorization") == (f"Bearer {KEY}" if variable else None)
    assert "stray" not in json.dumps([headers, body]) and not other.requests


def test_the_proxy_of_the_environment_is_asked(monkeypatch):
    with FaultyServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        [judgement] = judge_at(proxy, base_url="http://judge.invalid/v1").judge(ANSWERS[1:2])
    assert judgement.right and proxy.requests[0][0]["Host"] == "judge.invalid"


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_proxy_that_is_none_is_said_without_its_password(name, monkeypatch):
    monkeypatch.setenv(name, "ftp://me:secret@host:1")
    with pytest.raises(JudgeError, match=r"http://a/v1 cannot be asked: .*ftp://.*a proxy") as raised:
        ServerJudge("judge", "http://a/v1", None)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


def test_no_log_has_the_key(caplog):
    caplog.set_level(logging.DEBUG)
    with FaultyServer(lambda _, attempt: "500" if attempt == 1 else (400, KEY)) as server:
        judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 2 and "openai" in {record.name.split(".")[0] for record in caplog.records}
    assert KEY not in caplog.text


def test_a_connection_ends_with_its_request():
    with FaultyServer(lambda _, attempt: "500" if attempt == 1 else None, protocol="HTTP/1.1") as server:
        judge = judge_at(server)
        assert all(judgement.unjudged is None for judgement in judge.judge(ANSWERS[:3]))
        assert all(server.ended.acquire(timeout=10) for _ in range(6))


def test_all_but_this_judge_works_without_its_package(tmp_path, capfd):
    answers = tmp_path / "a.jsonl"
    answers.write_text('{"id": "1", "question": "?", "reference": "a", "prediction": "a"}\n', encoding="utf-8")

    def judge():
        for name in [name for name in sys.modules if name.startswith("ablation.")]:
            del sys.modules[name]
        sys.modules["openai"] = None  # as if it were not installed
        main = importlib.import_module("ablation.judging.command").main
        main([str(answers), f"--cache={tmp_path}", "--judge=ExactMatch"])
        main([str(answers), f"--cache={tmp_path}", "--judge=ServerJudge", "--judge.model=m"])

    process = multiprocessing.get_context("fork").Process(target=judge)  # a copy of this process, with its imports
    process.start()
    process.join()
    output = capfd.readouterr()
    assert process.exitcode == 1 and "(1 of 1 judged)" in output.out and "Traceback" not in output.err
    assert "error: ServerJudge needs the package openai: pip install 'video-panda-lightning[openai]'" in output.err


def test_a_question_that_the_server_refuses_is_unjudged_at_once():
    with FaultyServer(lambda *_: (400, '{"error": "too long"}')) as server:
        [judgement] = judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 1 and "status 400" in judgement.unjudged and judgement.reply is None


def test_no_server():
    with FaultyServer() as server:
        judge = judge_at(server, attempts=3)
    with pytest.raises(JudgeError, match=r"no server answers at http://127.0.0.1:\d+/v1/chat/completions: .*refused"):
        judge.judge(ANSWERS[:1])


def test_a_server_without_tls_at_an_address_with_it_stops_at_once():
    with FaultyServer() as server, pytest.raises(JudgeError, match=r"https://.* no secure connection: .*SSL"):
        judge_at(server, base_url=server.url.replace("http:", "https:"), attempts=2, backoff=30).judge(ANSWERS[:1])


def test_a_server_that_resets_connections_is_there():
    def reset():
        for _ in range(2):
            connection, _ = listening.accept()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=reset)
        thread.start()
        judge = ServerJudge("judge", f"https://127.0.0.1:{listening.getsockname()[1]}/v1", None, attempts=2, backoff=0)
        [judgement] = judge.judge(ANSWERS[:1])
        thread.join()
    assert judgement.unjudged.startswith("the connection broke: ") and "(2 attempts)" in judgement.unjudged


def test_after_a_stop_nothing_is_asked():
    with FaultyServer() as server:
        judge = judge_at(server)
        judge.stop()
        [judgement] = judge.judge(ANSWERS[:1])
    assert judgement.unjudged == "stopped before there was a reply" and not server.requests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY has no API key; set it"),
        ({"api_key_variable": "sk-secret-1"}, "must be the name of an environment variable, not a key"),
        ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000'; it must be like https://HOST/v1"),
        ({"base_url": "https://me:secret@host/v1"}, "without user, password"),
        ({"base_url": "htp://me:secret@host/v1"}, "without user, password"),
        ({"base_url": "https://host/v1?key=secret"}, "without user, password"),
        ({"timeout": 0}, "timeout is 0; it must be positive"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"requests_per_minute": -1}, "requests_per_minute is -1"),
        ({"asks": 0}, "asks is 0"),
        ({"backoff": float("nan")}, "backoff is nan"),
        ({"parameters": {"stream": True, "n": 2}}, "parameters has stream, n"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message) as raised:
        ServerJudge("judge", **{"api_key_variable": None, **settings})
    assert "secret" not in str(raised.value)


def test_a_key_that_is_none_is_not_shown(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "two words")
    with pytest.raises(ValueError, match="JUDGE_KEY does not hold an API key") as raised:
        ServerJudge("judge", api_key_variable="JUDGE_KEY")
    assert "two words" not in str(raised.value)

"""A judge behind a server, against a real one that fails."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.judges import Aspect, Comparison, JudgeError, ServerJudge
from components.judges.pace import Pace
from tests.components.faulty_server import FaultyServer, seeded_faults, verdict

KEY = "sk-very-secret-0123456789"
ANSWERS = [Comparison(f"How many {n}?", str(n), str(n if n % 3 else n + 1)) for n in range(60)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def judge_at(server, **more):
    settings = {"base_url": server.url, "api_key_variable": "JUDGE_KEY", "backoff": 0.01, "timeout": 1.5, **more}
    return ServerJudge("judge", **settings)


def test_no_answer_is_lost_or_judged_twice_or_wrong_whatever_the_server_does():
    with FaultyServer(seeded_faults) as server:
        judge = judge_at(server, attempts=12)
        with ThreadPoolExecutor(judge.concurrency) as pool:
            judgements = [each for [each] in pool.map(lambda asked: judge.judge([asked]), ANSWERS)]
    assert all(count == 1 for count in server.answered.values()) and len(server.answered) == len(ANSWERS)
    assert sum(server.attempts.values()) > 1.2 * len(ANSWERS)
    for asked, judgement in zip(ANSWERS, judgements, strict=True):
        assert judgement.right is (asked.prediction == asked.reference) and judgement.unjudged is None
        assert judgement.answered_by == "judge-2026"


@pytest.mark.parametrize("fault", ["429", "500", "half", "types", "drop", "slow"])
def test_a_server_that_always_fails_leaves_an_answer_unjudged(fault):
    with FaultyServer(lambda *_: fault) as server:
        [judgement] = judge_at(server, attempts=2, timeout=0.2).judge(ANSWERS[:1])
    assert server.attempts[ANSWERS[0].question] == 2
    assert judgement.right is judgement.score is judgement.reply is None
    assert "(2 attempts)" in judgement.unjudged


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
    assert judgement.unjudged == "the reply is no JSON object (asked 3 times)"


def test_a_request_has_model_parameters_messages_and_the_key_in_its_header_alone():
    with FaultyServer() as server:
        judge_at(server, parameters={"top_p": 0.5}).judge(ANSWERS[:1])
        judge_at(server, api_key_variable=None).judge(ANSWERS[:1])
    (headers, body), (without, _) = server.requests
    assert headers["Authorization"] == f"Bearer {KEY}" and KEY not in json.dumps(body)
    assert "Authorization" not in without
    assert (body["model"], body["top_p"], [each["role"] for each in body["messages"]]) == (
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
    ("answer", "said"),
    [
        ((200, "<!DOCTYPE html><p>Welcome"), "answers with a web page"),
        ((200, "Welcome", {"Content-Type": "text/html"}), "answers with a web page"),
        ((404, "<html>", {"Content-Type": "text/html"}), "answers with a web page"),
        ((404, '{"error": "no model judge"}'), "has no such address or model; it says status 404: .*no model judge"),
        ((401, f'{{"error": "wrong key {KEY}"}}'), r"refuses the API key; it says .*wrong key \*\*\*"),
        ((302, "", {"Location": "http://127.0.0.1:9/v1"}), "is elsewhere: http://127.0.0.1:9/v1; give that address"),
    ],
)
def test_an_address_that_is_none_stops_at_once(answer, said):
    with FaultyServer(lambda *_: answer) as server, pytest.raises(JudgeError, match=said) as raised:
        judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 1 and KEY not in str(raised.value)


def test_a_question_that_the_server_refuses_is_unjudged_at_once():
    with FaultyServer(lambda *_: (400, '{"error": "too long"}')) as server:
        [judgement] = judge_at(server).judge(ANSWERS[:1])
    assert len(server.requests) == 1 and "status 400" in judgement.unjudged and judgement.reply is None


def test_no_server():
    with FaultyServer() as server:
        judge = judge_at(server, attempts=3)
    with pytest.raises(JudgeError, match=r"no server answers at http://127.0.0.1:\d+/v1/chat/completions: .*refused"):
        judge.judge(ANSWERS[:1])


def test_after_a_stop_nothing_is_asked():
    with FaultyServer() as server:
        judge = judge_at(server)
        judge.stop()
        [judgement] = judge.judge(ANSWERS[:1])
    assert judgement.unjudged == "stopped before there was a reply" and not server.requests


def test_requests_are_spaced_evenly(monkeypatch):
    monkeypatch.setattr("components.judges.pace.time.monotonic", lambda: 100.0)  # no time passes
    waits = {}
    for limit in (None, 120):
        pace = Pace(limit)
        waits[limit] = []
        monkeypatch.setattr(pace, "sleep", waits[limit].append)
        for _ in range(4):
            pace.wait()
    assert waits == {None: [0, 0, 0, 0], 120: [0, 0.5, 1.0, 1.5]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"api_key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY has no API key; set it"),
        ({"api_key_variable": "sk-secret-1"}, "must be the name of an environment variable, not a key"),
        ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000'; it must be like https://HOST/v1"),
        ({"base_url": "https://me:secret@host/v1"}, "without user, password"),
        ({"base_url": "https://host/v1?key=secret"}, "without user, password"),
        ({"timeout": 0}, "timeout is 0; it must be positive"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"requests_per_minute": -1}, "requests_per_minute is -1"),
        ({"asks": 0}, "asks is 0"),
        ({"backoff": float("nan")}, "backoff is nan"),
        ({"parameters": {"stream": True, "n": 2}}, "parameters has stream, n"),
    ],
)
def test_bad_settings(settings, said):
    with pytest.raises(ValueError, match=said) as raised:
        ServerJudge("judge", **{"api_key_variable": None, **settings})
    assert "secret" not in str(raised.value)


def test_a_key_that_is_none_is_not_shown(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "two words")
    with pytest.raises(ValueError, match="JUDGE_KEY has is no API key") as raised:
        ServerJudge("judge", api_key_variable="JUDGE_KEY")
    assert "two words" not in str(raised.value)


def test_the_address_is_no_part_of_the_identity_but_all_that_is_asked_is():
    judge = ServerJudge("judge", "http://a/v1", None)
    assert judge.identity == ServerJudge("judge", "http://b/v1", None, concurrency=1).identity
    others = [{"revision": "2"}, {"parameters": {"temperature": 1}}]
    assert all(
        ServerJudge("judge", "http://a/v1", None, **more).identity.hash != judge.identity.hash for more in others
    )

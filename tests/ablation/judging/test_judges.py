"""What judges promise, and how replies are read."""

import dataclasses
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from ablation.judging.judge import Comparison, ExactMatch, JudgeIdentity
from ablation.judging.pace import Pace
from ablation.judging.prompted import JudgePrompt, ReplyError, read_reply
from ablation.judging.server import ServerJudge
from datamodules.answer_kind import Aspect, Normalisation, matches, normalized

ASKED = Comparison("How many dogs?", "Two dogs.", "There is one.")


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("Two dogs.", "2 dogs", True),
        ("the red circle", "A red circle!", True),
        ("twenty", "20", True),
        ("twenty-one", "21", False),
        ("A", "a.", True),
        ("A", "the", False),
        ("", "red", False),
        ("reddish", "red", False),
        ("a TV set", "television", True),
        ("set TV", "television", False),
        ("riding the bike", "riding a bicycle", True),
    ],
)
def test_exact_match_forgives_what_it_says_it_forgives(prediction, reference, same):
    judge = ExactMatch([["television", "tv", "TV set"], ["bicycle", "bike"]])
    assert judge.judge([Comparison("?", reference, prediction)])[0].right is same
    assert judge.judge([Comparison("?", prediction, reference)])[0].right is same


# fmt: off
# ruff: noqa: RUF001
DIFFERENT = [
    ("-5", "5"), ("−5", "5"), ("C++", "C#"), ("C++", "C"), ("C#", "C"), ("10%", "10"), ("$5", "5"), ("5+", "5"),
    ("3.5", "3/5"), ("3.5", "3 5"), ("12:30", "12 30"), ("2-3", "2 3"), ("2 - 3", "2 3"), (".5", "5"), ("90°", "90"),
    ("😀", "😡"), ("😀", ""), ("👍🏻", "👍🏿"), ("👨\u200d👩", "👨👩"), ("🇩🇪", "🇫🇷"), ("\U0001fae9", "\U0001fae8"),
    ("x²", "x2"),
    ("कि", "की"), ("कि", "क"), ("கா", "கி"), ("มา", "มี"), ("ที่", "ที"), ("é", "e"), ("한", "하"),
    ("!", ""), ("!", "?"), ("...", ""), (" ", "the"),
]
SAME = [
    ("e\u0301t\u00e9", "été"), ("Ｒｅｄ", "red"), ("１２", "12"), ("ｶﾞ", "ガ"), ("ﬁre", "fire"),
    ("\u0439", "\u0438\u0306"),
    ("−5", "-5"), ("（Ｒｅｄ）！", "red"), ("10 %", "10%"), ("❤\ufe0f", "❤"), ("co\u00adat", "coat"), ("2–3", "2-3"),
    ("?", "?"), ("**Red**", "red"), ("top-left", "top left"), ("covid-19", "COVID 19"), ("it's 5.", "It’s 5"),
    ("", " "), ("İ", "i\u0307"),
]
# fmt: on


@pytest.mark.parametrize("same", [True, False])
def test_only_writings_of_one_answer_count_as_equal(same):
    judge = ExactMatch()
    for ours, theirs in SAME if same else DIFFERENT:
        for prediction, reference in ((ours, theirs), (theirs, ours)):
            assert matches(prediction, reference) is same, (prediction, reference)
            [judgement] = judge.judge([Comparison("?", reference, prediction)])
            assert judgement.right is same, (prediction, reference)
        for text in (ours, theirs):
            assert judge.normalisation(judge.normalisation(text)) == judge.normalisation(text)


def test_ordinary_answers_are_equal_where_they_are_without_case_and_punctuation():
    """All pairs of the answers of the excerpts, as sets of those that are equal."""
    answers = set()
    for file in Path("tests/data").rglob("*.json"):
        if file.parent.name != "videos":
            answers |= set(texts_of(json.loads(file.read_text(encoding="utf-8"))))
    plain, ours = defaultdict(set), defaultdict(set)
    for answer in answers:
        plain[" ".join(re.sub(r"[^\w\s]", " ", answer.lower()).split())].add(answer)
        ours[normalized(answer)].add(answer)
    assert len(answers) > 100
    assert sorted(map(sorted, plain.values())) == sorted(map(sorted, ours.values()))


def texts_of(content):
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | dict):
        for part in content.values() if isinstance(content, dict) else content:
            yield from texts_of(part)


def test_what_matches_while_training_matches_for_the_judge_too():
    texts = ["Red.", "top-left", "  top  left", "A red one", "two", "2", "", "the", "red red"]
    for ours in texts:
        for theirs in texts:
            if matches(ours, theirs):
                assert ExactMatch().judge([Comparison("?", theirs, ours)])[0].right


def test_normalising_twice_changes_nothing():
    normalisation = Normalisation([["tv set", "television"], ["big", "large"]])
    for text in ("The TELEVISION, large!", "tv", "a a a", "two big TV sets and one television"):
        assert normalisation(normalisation(text)) == normalisation(text)


def test_synonyms_from_a_file_are_part_of_the_identity(tmp_path):
    file = tmp_path / "synonyms.yaml"
    file.write_text("- [bike, bicycle]\n", encoding="utf-8")
    assert ExactMatch(str(file)).identity == ExactMatch([["bike", "bicycle"]]).identity
    assert ExactMatch().identity.hash != ExactMatch(str(file)).identity.hash


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bike: bicycle", "must be a list of lists"),
        ("- [yes, no]", r"group 1 is \[True, False\]"),
        ("- [bike]", "two words or phrases at least"),
        ("- [bike, '!']", "none of them empty"),
        ("- [bike, cycle]\n- [motorbike, the cycle]", "'cycle' is in two groups"),
        ("- [", "synonyms.yaml is not valid YAML: line 1"),
        ("- {a: b,\n   a: c}", "line 2: `a` stands here and in line 1"),
    ],
)
def test_bad_synonyms(tmp_path, content, message):
    file = tmp_path / "synonyms.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ExactMatch(str(file))


def test_every_part_of_an_identity_counts():
    identity = JudgeIdentity.of("org/judge 7B", "1", "prompt", {"temperature": 0})
    assert identity.label == f"org_judge_7B-{identity.hash[:8]}"
    others = [JudgeIdentity.of("org/judge 7B", "1", "prompt", {"temperature": 1})]
    others += [dataclasses.replace(identity, **{part: "x"}) for part in ("name", "revision", "prompt")]
    assert len({other.hash for other in (identity, *others)}) == 5


@pytest.mark.parametrize(
    "reply",
    [
        '{"pred": "yes", "score": 4}',
        "{'pred': 'Yes', 'score': 4}",
        '```json\n{"pred": "yes", "score": 4.0}\n```',
        '\n {"score": 4, "pred": " YES", "reason": "the same"} \n',
    ],
)
def test_replies_that_can_be_read(reply):
    judgement = read_reply(reply, None)
    assert (judgement.right, judgement.score, judgement.reply) == (True, 4, reply)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "yes",
        "yes, 4",
        'Sure! {"pred": "yes", "score": 4}',
        '{"pred": "yes"}',
        '{"pred": "yes", "score": "4"}',
        '{"pred": "yes", "score": true}',
        '{"pred": "yes", "score": 6}',
        '{"pred": "yes", "score": -1}',
        '{"pred": "yes", "score": NaN}',
        '{"pred": true, "score": 4}',
        '{"pred": "maybe", "score": 4}',
        '{"pred": "no", "pred": "yes", "score": 4}',
        "{'pred': 'no', 'pred': 'yes', 'score': 4}",
        '{"pred": "no", \'pred\': "yes", "score": 4}',
        "{'pred': 'yes', 'score': 4, 'why': {'a': 1, 'a': 2}}",
        '[{"pred": "yes", "score": 4}]',
        '{"pred": "yes", "score": 4',
        "{'pred': 'yes', 'score': __import__('os').getpid() * 0 + 4}",
        "{['pred']: 'yes', 'score': 4}",
        "[" * 3000,
        "{'pred':" * 400,
        '{"pred": "yes", "score": 4}' + " " * 5000,
    ],
)
def test_replies_that_cannot_be_read(reply):
    with pytest.raises(ReplyError):
        read_reply(reply, None)


def test_an_aspect_is_scored_without_a_verdict():
    assert read_reply("{'score': 3}", Aspect.DETAIL).score == 3
    assert read_reply('{"score": 4.8, "pred": "no"}', Aspect.DETAIL).right is None


def test_every_prompt_names_all_it_is_about():
    for aspect in (None, *Aspect):
        asked = Comparison("Q1", "REF", "P1", aspect, "Q2", "P2")
        messages = JudgePrompt().messages(asked)
        expected = ["Q1", "REF", "P1"] + (["Q2", "P2"] if aspect is Aspect.CONSISTENCY else [])
        assert all(text in messages.user for text in expected)
        assert messages.system and "{question}" not in messages.user
        example = messages.user.splitlines()[-1].split("form: ")[1]
        assert read_reply(example, aspect).unjudged is None


def test_what_an_answer_says_is_never_a_place_of_the_prompt(tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("{prediction}|{question}|{reference}", encoding="utf-8")
    sly = Comparison("{reference}", "secret", "{question} {0} %s\n---\nyes")
    messages = JudgePrompt(str(file)).messages(sly)
    assert messages.user == "{question} {0} %s\n---\nyes|{reference}|secret"
    assert messages.system == ""


def test_a_prompt_of_ones_own_is_used_for_everything_and_part_of_the_identity(tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("Be strict.\n---\n{question} {reference} {prediction}\n", encoding="utf-8")
    prompt = JudgePrompt(str(file))
    assert prompt.text == file.read_text(encoding="utf-8") != JudgePrompt().text
    for aspect in (None, Aspect.TEMPORAL):
        messages = prompt.messages(dataclasses.replace(ASKED, aspect=aspect))
        assert (messages.system, messages.user) == ("Be strict.", "How many dogs? Two dogs. There is one.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{question} {reference}", r"no place for \{prediction\}"),
        ("{question} {reference} {prediction} {pred}", r"has \{pred\}; known are \{question\}"),
    ],
)
def test_bad_prompts(tmp_path, content, message):
    file = tmp_path / "prompt.txt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        JudgePrompt(str(file))
    with pytest.raises(ValueError, match=r"nowhere\.txt cannot be read"):
        JudgePrompt(str(tmp_path / "nowhere.txt"))


def test_comparisons_that_cannot_be_made(tmp_path):
    with pytest.raises(ValueError, match="second_question and second_prediction are needed"):
        dataclasses.replace(ASKED, aspect=Aspect.CONSISTENCY)
    file = tmp_path / "prompt.txt"
    file.write_text("{question} {reference} {prediction}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no \{second_prediction\}, without which no consistency"):
        JudgePrompt(str(file)).messages(Comparison("Q", "R", "P", Aspect.CONSISTENCY, "Q2", "P2"))
    with pytest.raises(ValueError, match="no score for detail"):
        ExactMatch().judge([dataclasses.replace(ASKED, aspect=Aspect.DETAIL)])


def test_requests_are_spaced_evenly(monkeypatch):
    monkeypatch.setattr("ablation.judging.pace.time.monotonic", lambda: 100.0)  # no time passes
    waits = {}
    for limit in (None, 120):
        pace = Pace(limit)
        waits[limit] = []
        monkeypatch.setattr(pace, "sleep", waits[limit].append)
        for _ in range(4):
            pace.wait()
    assert waits == {None: [0, 0, 0, 0], 120: [0, 0.5, 1.0, 1.5]}


def test_the_address_is_no_part_of_the_identity_but_all_that_is_asked_is():
    judge = ServerJudge("judge", "http://a/v1", None)
    assert judge.identity == ServerJudge("judge", "http://b/v1", None, concurrency=1).identity
    others = [{"revision": "2"}, {"parameters": {"temperature": 1}}]
    assert all(
        ServerJudge("judge", "http://a/v1", None, **more).identity.hash != judge.identity.hash for more in others
    )

"""A judge by likelihood: replies are as likely as a small random model finds them, or as a test says."""

import json
import math

import pytest
import torch

from ablation.judging.agreement import compare
from ablation.judging.judge import Comparison
from ablation.judging.likelihood import VERDICTS, LikelihoodJudge, log_likelihoods
from ablation.judging.local import LocalJudge
from datamodules.answer_kind import Aspect
from lightning_modules.cli import main
from tests.ablation.judging.stored_answers import read_lines, row, save_answers
from tests.components.tiny_networks import FAMILIES, save_tiny_network, tiny_network

ANSWER = Comparison("How many dogs?", "Two", "Two dogs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_network("llama", tmp_path_factory.mktemp("judge"), max_length=1200)


@pytest.fixture
def judge(folder):
    return LikelihoodJudge(folder, device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_likelihoods_are_those_of_whole_sequences(family):
    network = tiny_network(family)
    question, replies = torch.tensor([5, 9, 3, 7, 2]), [[4, 8, 6], [4], [11, 2, 9, 30, 3]]
    given = log_likelihoods(network, question, replies)
    for value, reply in zip(given.tolist(), replies, strict=True):
        logs = network(torch.tensor([[*question, *reply]])).logits[0].log_softmax(-1)
        assert value == pytest.approx(sum(logs[4 + place, token].item() for place, token in enumerate(reply)), rel=1e-4)


@pytest.fixture
def finds(judge, monkeypatch):
    """Set how much likelier those replies are, in nats, that have a text in them; returns the judgement then."""

    def given(rules):
        def nats(network, question, replies):
            texts = [judge.model.text.decode(torch.tensor(reply)) for reply in replies]
            return torch.tensor([sum(value for part, value in rules.items() if part in text) for text in texts])

        monkeypatch.setattr("ablation.judging.likelihood.log_likelihoods", nats)
        return judge.judge([ANSWER])[0]

    return given


def test_an_answer_is_right_if_yes_is_likelier(finds):
    right = finds({"yes": 1.0, "4}": 3.0})
    assert right.right is True and json.loads(right.reply)["yes"] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-4)
    assert finds({"no": 0.1, "5}": 3.0}).right is False
    assert finds({'"yes", "score": 4}': 2.0, "no": 1.0}).right is False  # what is likeliest alone does not decide


def test_the_score_is_the_expected_one(finds):
    assert finds({"4}": 30.0}).score == 4
    assert finds({"4}": 30.0, "1}": 30.0}).score == 2.5
    weight = math.e / (math.e + 5)
    assert finds({"5}": 1.0, "no": 9.0}).score == pytest.approx(5 * weight + 2 * (1 - weight), abs=1e-3)


def test_its_replies_are_those_of_its_prompt(judge):
    example = judge.prompt.messages(ANSWER).user.rpartition("form: ")[2]
    assert example in VERDICTS and len(set(VERDICTS)) == 12
    assert judge.prompt.messages(Comparison("Q", "R", "P", Aspect.DETAIL)).user.endswith('{"score": 4}')


def test_aspects_have_a_score_alone(judge):
    pair = Comparison("Q", "R", "P", Aspect.CONSISTENCY, "Q2", "P2")
    for judgement in judge.judge([pair, Comparison("Q", "R", "P", Aspect.DETAIL)]):
        assert judgement.right is judgement.unjudged is None
        assert 0 < judgement.score < 5 and "yes" not in judgement.reply


def test_an_answer_that_is_too_long_is_unjudged_and_the_others_are_not(judge):
    long = Comparison("What happens?", "A dog runs.", "and then " * 1000)
    judgements = judge.judge([long, ANSWER])
    assert "the judge takes 1160 before its reply" in judgements[0].unjudged and judgements[0].right is None
    assert judgements[1].right is not None


def test_its_identity_is_not_that_of_a_judge_that_writes(folder, judge):
    others = [LocalJudge(folder, dtype="float32", max_new_tokens=40), LikelihoodJudge(folder, dtype="bfloat16")]
    assert len({other.identity.hash for other in (judge, *others)}) == 3
    assert LikelihoodJudge(folder).identity == judge.identity


def test_it_judges_a_file_in_which_a_writing_judge_judges_nothing_and_agreement_compares_it(folder, tmp_path, capsys):
    answers = save_answers(tmp_path / "answers.jsonl", [row(number) for number in range(6)])
    for name in ("ExactMatch", "LocalJudge", "LikelihoodJudge"):
        model = [] if name == "ExactMatch" else [f"--judge.model={folder}"]
        main(["judge", str(answers), "--judge", name, *model, f"--cache={tmp_path / 'cache'}"])
    printed = capsys.readouterr().out
    assert "(0 of 6 judged)" in printed and printed.count("(6 of 6 judged)") == 2
    files = {read_lines(path)[0]["judge"]["hash"]: path for path in (tmp_path / "judgements").rglob("*.jsonl")}
    likelihood = files[LikelihoodJudge(folder).identity.hash]
    (exact,) = (path for path in files.values() if "ExactMatch" in path.name)
    assert len(compare(exact, likelihood).verdicts) == 6

"""A local model as a judge: tiny and random, so its replies are nonsense unless they are put into its mouth."""

import pytest
import torch

from ablation.judging.judge import Comparison, JudgeError
from ablation.judging.local import LocalJudge
from ablation.judging.prompted import NoReply
from datamodules.answer_kind import Aspect
from tests.components.tiny_networks import save_tiny_network

ANSWERS = [Comparison("How many dogs?", "Two", "Two"), Comparison("What colour is the one on the left?", "red", "blue")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_network("llama", tmp_path_factory.mktemp("judge"), max_length=1200)


@pytest.fixture
def judge(folder):
    return LocalJudge(folder, dtype="float32", device="cpu", max_new_tokens=12)


def test_nonsense_is_unjudged_and_kept(judge):
    for judgement in judge.judge(ANSWERS):
        assert judgement.right is judgement.score is None
        assert judgement.unjudged == "the reply is not a JSON object (asked 1 times)"
        assert judgement.reply is not None


def test_replies_do_not_depend_on_what_is_judged_beside(judge):
    together = [judgement.reply for judgement in judge.judge(ANSWERS)]
    assert together == [judge.judge([answer])[0].reply for answer in ANSWERS]
    assert any(together)


def test_a_reply_put_into_its_mouth_is_read(judge, monkeypatch):
    replies = ['{"pred": "yes", "score": 5}', "{'pred': 'no', 'score': 1}"]
    tokenizer = judge.model.text.tokenizer
    reply_ids = tokenizer(replies, add_special_tokens=False, split_special_tokens=True).input_ids
    longest = max(map(len, reply_ids))
    padded = torch.tensor([[*ids, *[judge.model.text.pad_id] * (longest - len(ids))] for ids in reply_ids])
    seen = []
    monkeypatch.setattr(judge.model, "generate", lambda _, plan, new: seen.append(plan.input_ids) or padded)
    assert [(judgement.right, judgement.score) for judgement in judge.judge(ANSWERS)] == [(True, 5), (False, 1)]
    prompts = [judge.model.text.decode(ids) for ids in seen[0]]
    for prompt, asked in zip(prompts, ANSWERS, strict=True):
        assert asked.question in prompt and "You assess" in prompt and prompt.endswith("assistant:")


def test_an_answer_that_is_too_long_for_it_is_unjudged_and_the_others_are_not(judge):
    long = Comparison("What happens?", "A dog runs.", "and then " * 1000)
    judgements = judge.judge([ANSWERS[0], long])
    assert judgements[0].reply is not None
    assert judgements[1].reply is None and "the judge takes 1188 before its reply" in judgements[1].unjudged
    assert isinstance(judge.replies([judge.prompt.messages(long)])[0], NoReply)


def test_its_identity_is_its_weights_and_what_it_is_asked(folder, judge, tmp_path):
    assert LocalJudge(folder, dtype="float32", device="cpu", max_new_tokens=12).identity == judge.identity
    other = save_tiny_network("llama", tmp_path / folder.rsplit("/", 1)[-1], max_length=1200, seed=1)
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} {reference} {prediction}", encoding="utf-8")
    changed = [
        LocalJudge(other, dtype="float32", device="cpu", max_new_tokens=12),
        LocalJudge(folder, str(prompt), dtype="float32", device="cpu", max_new_tokens=12),
        LocalJudge(folder, dtype="float32", device="cpu", max_new_tokens=13),
    ]
    assert len({changed_judge.identity.hash for changed_judge in (judge, *changed)}) == 4
    assert {changed_judge.identity.name for changed_judge in (judge, *changed)} == {judge.identity.name}


def test_an_aspect_is_asked_for(judge):
    messages = judge.prompt.messages(Comparison("Q", "R", "P", Aspect.TEMPORAL))
    assert "order of events" in messages.user


def test_bad_models_and_settings(folder, tmp_path):
    with pytest.raises(JudgeError, match=r"judge.init_args.model: .*There is no such folder"):
        LocalJudge(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="batch_size is 0"):
        LocalJudge(folder, batch_size=0)
    with pytest.raises(ValueError, match="device is 'gpu'; it must be like cpu"):
        LocalJudge(folder, device="gpu")
    without = tmp_path / "without"
    save_tiny_network("llama", without)
    for file in without.glob("chat_template*"):
        file.unlink()
    with pytest.raises(JudgeError, match="has no chat template"):
        LocalJudge(str(without), dtype="float32")

"""Answers of a batch grow and end each by itself."""

import openai
import pytest
import torch

from tests.video_panda.serving.served import CLIP, QUESTION, ask, endless, message, refused, said, serving
from video_panda.processing import joined
from video_panda.serving.batched_answers import Answer, Piece


@pytest.fixture(scope="module")
def client(panda):
    with serving(panda) as (_, client):
        yield client


def test_a_text_that_ends_an_answer_and_the_memory_of_the_model(panda, client, monkeypatch):
    endless(panda, monkeypatch)
    whole = said(client, message(), max_tokens=9)
    assert whole == "o o o o o"
    for stop, expected in (("o o o", ""), ([" ", "x"], "o"), ("x", whole)):
        for stream in (False, True):
            assert said(client, message(), max_tokens=9, stop=stop, stream=stream) == expected
    answer = ask(client, message(), max_tokens=9, stop=" ")
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 2)
    asked = panda.processor(QUESTION)["input_ids"].shape[1]
    monkeypatch.setattr(panda.processor, "max_length", asked + 12)
    answer = ask(client, message(), max_tokens=10**6, stop="x")
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 12)
    monkeypatch.setattr(panda.processor, "max_length", asked)
    with refused(openai.BadRequestError, "the question What is shown.* is too long"):
        ask(client, message(), max_tokens=1)


def test_the_pieces_of_an_answer_are_certain():
    words = {1: "  a", 2: " b", 3: "\ufffd", 4: "é", 5: " '", 6: " EN", 7: "D", 8: "s"}

    def decode(ids):  # 3 is half a letter, which 4 completes; no space before an apostrophe, once it is one
        return "".join(words[number] for number in ids).replace("\ufffdé", "é").replace(" 's", "'s")

    def pieces(*ids, stops=()):
        answer = Answer(0, decode, 99, stops, True)
        made = [answer.add(number, ends=place == len(ids) - 1) for place, number in enumerate(ids)]
        return [piece.text for piece in made if piece], answer.finish

    assert pieces(1, 2, 3, 4, 2) == (["a", " b", "é b"], "stop")
    assert pieces(1, 5, 8, 2) == (["a", "'s b"], "stop")
    assert pieces(1, 2, 6, 7, 2, stops=["END"])[0][:3] == ["a", " b", ""]
    texts, finish = pieces(1, 2, 6, 7, stops=["END"])
    assert ("".join(texts), finish) == ("a b", "stop")
    texts, finish = pieces(1, 2, 6, 2, 2, stops=["END"])
    assert "".join(texts) == "a b EN b b"
    whole = Answer(0, decode, 2, (), False)
    assert (whole.add(1, False), whole.add(2, False)) == (None, Piece(0, "a b", "length"))


def test_inputs_that_are_joined_are_those_of_the_processor(panda, trained):
    clips = [trained[2][0][0], None, CLIP]
    questions = [QUESTION, "Where?", "Where does it happen, and who is there?"]
    whole = panda.processor(questions, clips)
    apart = [panda.processor(question, clip) for question, clip in zip(questions, clips, strict=True)]
    joint = joined(apart, panda.model.generation_config.pad_token_id)
    assert joint.keys() == whole.keys() and all(torch.equal(joint[name], whole[name]) for name in whole)
    text = joined([apart[1]] * 2, panda.model.generation_config.pad_token_id)
    assert text.keys() == panda.processor(["Where?"] * 2).keys()

"""Text of conversations: the official prompts, labels from spans, and the tiny tokenizer."""

import json
import os
import random
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from components.language_models import ChatText, FixedFormat, ShortPrompt, VicunaV1, VideoPandaV1
from components.language_models.tiny_causal_lm import VOCABULARY, build_tiny_tokenizer
from components.splice import IGNORED_LABEL, PLACEHOLDER

GOLDEN = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[2] / "golden"))
PROMPTS = json.loads((GOLDEN / "prompts.json").read_text())
FRAMES = json.loads((GOLDEN / "formula.json").read_text())["num_frames"]
TURNS = [("What colour is it?", "It is red."), ("And the square", "Blue")]


@pytest.fixture(scope="module")
def llama_tokenizer():
    return AutoTokenizer.from_pretrained(GOLDEN / "tokenizer")


@pytest.fixture(scope="module")
def tiny_tokenizer():
    return build_tiny_tokenizer()


def official_turns(conversations):
    """Pairs of question and answer; the official code drops an answer that no question came before."""
    values = [turn["value"].replace("<video>", "").replace("<image>", "").strip() for turn in conversations]
    first = [turn["from"] for turn in conversations].index("human")
    return list(zip(values[first::2], values[first + 1 :: 2], strict=True))


def one_placeholder(values, ids):
    """The official list with the placeholders of one clip's frames as one."""
    return [value for i, value in enumerate(values) if not (ids[i] == PLACEHOLDER and i and ids[i - 1] == PLACEHOLDER)]


@pytest.mark.parametrize("name", PROMPTS["train_v1"])
def test_training_text_equals_official(name, llama_tokenizer):
    official = PROMPTS["train_v1"][name]
    ids, labels = official["input_ids"], official["labels"]
    assert ids.count(PLACEHOLDER) == {"video": FRAMES, "image": 1}.get(next(iter(official["sample"])), 0)

    turns = official_turns(official["sample"]["conversations"])
    ours = ChatText(llama_tokenizer, VicunaV1()).encode(turns, with_clip=PLACEHOLDER in ids)
    assert ours.input_ids.tolist() == one_placeholder(ids, ids)
    assert ours.labels.tolist() == one_placeholder(labels, ids)


@pytest.mark.parametrize("name", PROMPTS["train_v1"])
def test_training_prompt_equals_official_letter_by_letter(name, tiny_tokenizer):
    official = PROMPTS["train_v1"][name]
    has_clip = "<image>" in official["prompt"]
    turns = official_turns(official["sample"]["conversations"])
    ids = ChatText(tiny_tokenizer, VicunaV1()).encode(turns, with_clip=has_clip).input_ids.tolist()
    pieces = "".join("<image>" if i == PLACEHOLDER else tiny_tokenizer.decode([i]) for i in ids)
    assert pieces == "<s>" + re.sub("(<image>)+", "<image>", official["prompt"])


@pytest.mark.parametrize("official", PROMPTS["eval_videopanda_v1"], ids=lambda official: official["question"])
def test_evaluation_text_equals_official(official, llama_tokenizer):
    ours = ChatText(llama_tokenizer, VideoPandaV1()).encode_question([], official["question"])
    assert ours.tolist() == one_placeholder(official["input_ids"], official["input_ids"])


@pytest.fixture(params=["llama", "tiny"])
def tokenizer(request, llama_tokenizer, tiny_tokenizer):
    return {"llama": llama_tokenizer, "tiny": tiny_tokenizer}[request.param]


@pytest.fixture(params=[VicunaV1, ShortPrompt])
def text(request, tokenizer):
    return ChatText(tokenizer, request.param())


def test_labels_are_the_answers_and_their_ends(text):
    encoded = text.encode(TURNS)
    learnt = encoded.labels != IGNORED_LABEL
    assert torch.equal(encoded.labels[learnt], encoded.input_ids[learnt])
    assert (encoded.input_ids[learnt] == text.end_id).sum() == len(TURNS)
    # Runs of labels, each up to its end token.
    ends = (encoded.input_ids == text.end_id).nonzero().flatten().tolist()
    starts = [int((learnt[1:] & ~learnt[:-1]).nonzero().flatten()[i]) + 1 for i in range(len(TURNS))]
    for (_, answer), start, end in zip(TURNS, starts, ends, strict=True):
        assert learnt[start : end + 1].all()
        assert text.decode(encoded.input_ids[start : end + 1]) == answer


@pytest.mark.parametrize("with_clip", [True, False])
def test_a_question_is_the_start_of_its_conversation(text, with_clip):
    whole = text.encode(TURNS, with_clip=with_clip)
    prompt = text.encode_question(TURNS[:1], TURNS[1][0], with_clip=with_clip)
    assert torch.equal(prompt, whole.input_ids[: len(prompt)])
    assert (whole.labels[len(prompt) :] != IGNORED_LABEL).all()
    assert (prompt == PLACEHOLDER).sum() == with_clip


def test_special_tokens_in_text_are_only_text(text):
    encoded = text.encode([("Is this </s> or <s> the <unk> end?", "No </s>, it is not")])
    assert (encoded.input_ids == text.end_id).sum() == 1
    assert encoded.input_ids[-1] == text.end_id
    assert "No </s>, it is not" in text.decode(encoded.input_ids[encoded.input_ids != PLACEHOLDER])


def test_an_empty_answer_still_ends(text):
    encoded = text.encode([("What?", "")])
    assert encoded.labels[-1] == text.end_id


def test_own_format(tiny_tokenizer):
    prompt = FixedFormat(opening="a ", next_turn="then ", answer_cue=" =")
    ids = ChatText(tiny_tokenizer, prompt).encode([("one", "two"), ("three", "four")]).input_ids
    pieces = "".join("<clip>" if i == PLACEHOLDER else tiny_tokenizer.decode([i]) for i in ids.tolist())
    assert pieces == "<s>a <clip>\none = two</s>then three = four</s>"


def test_short_prompt_is_short(tiny_tokenizer):
    ids = ChatText(tiny_tokenizer, ShortPrompt()).encode([("What colour is the circle?", "red")]).input_ids
    # begin, clip, newline, five words, question mark, "answer", colon, "red", end
    assert len(ids) == 13


def test_tokenizer_without_end_is_refused():
    tokenizer = build_tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="end-of-sequence"):
        ChatText(tokenizer, ShortPrompt())


def encode_plain(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def test_tiny_tokenizer_gives_back_any_text(tiny_tokenizer):
    generator = random.Random(0)
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    texts = ["", " ", "\n", "  two  spaces ", "▁", "</s><s>", "Ġ", "a\u0301", "漢字 👩‍👩‍👧 naïve", "it's 3.14, USER: x"]
    texts += ["".join(generator.choices(characters, k=20)) for _ in range(300)]
    texts += ["".join(generator.choices("abc XYZ.,?\n\t019é", k=40)) for _ in range(300)]
    for text in texts:
        assert tiny_tokenizer.decode(encode_plain(tiny_tokenizer, text)) == text


def test_every_known_word_is_one_token(tiny_tokenizer):
    words = VOCABULARY.read_text().split()
    assert words == sorted(set(words), key=lambda word: (word.lower(), word))
    for word in words:
        forms = [f" {word}", f" {word.capitalize()}", word.capitalize()]
        assert [len(encode_plain(tiny_tokenizer, form)) for form in forms] == [1, 1, 1], word


def test_tiny_vocabulary_covers_the_annotations_of_the_real_clips(tiny_tokenizer):
    records = json.loads((Path(__file__).parents[2] / "data" / "real_clips_qa.json").read_text())
    texts = [turn["value"].replace("<video>", "").strip() for record in records for turn in record["conversations"]]
    tokens = sum(len(encode_plain(tiny_tokenizer, text)) for text in texts)
    pieces = sum(len(text.split()) + sum(not c.isalnum() and not c.isspace() for c in text) for text in texts)
    assert tokens <= 1.1 * pieces


def test_tiny_tokenizer_is_always_the_same(tiny_tokenizer, tmp_path):
    again = build_tiny_tokenizer()
    assert again.get_vocab() == tiny_tokenizer.get_vocab()
    again.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == again.get_vocab()
    assert encode_plain(loaded, "Which shape moves to the left? é") == encode_plain(
        again, "Which shape moves to the left? é"
    )
    assert (loaded.bos_token_id, loaded.eos_token_id) == (again.bos_token_id, again.eos_token_id)

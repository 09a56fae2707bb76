"""Chat templates of tokenizers: the same ids as transformers' own, labels on answers and their ends alone."""

import jsonargparse
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AddedToken, PreTrainedTokenizerFast

from components.language_models import ChatTemplate, ChatText, PromptFormat
from components.splice import IGNORED_LABEL, PLACEHOLDER

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The header of every message, its text trimmed, and the first message after the beginning of the text.
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Tokens that take the space after them; no end of the text after the last answer.
PHI3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# Another name for the assistant, no system message.
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + message['role'].replace('assistant', 'model') + '\n' + message['content'] | trim"
    " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# A space before an answer, which is not there when one is asked for.
SPACED = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] }}"
    "{% else %}{{ ' ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if loop.last and message['role'] == 'assistant' %}{{ '<think></think>' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}{% endif %}"
)
TEMPLATES = {
    "chatml": (CHATML, "<|im_end|>", ["<|im_start|>"], False),
    "llama3": (LLAMA3, "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"], False),
    "phi3": (PHI3, "<|end|>", ["<|user|>", "<|assistant|>", "<|system|>"], True),
    "gemma": (GEMMA, "<end_of_turn>", ["<start_of_turn>"], False),
    "spaced": (SPACED, "</s>", [], False),
}
# How Llama 3 and Qwen 2 cut text into words: newlines stay together, whatever follows.
LLAMA3_WORDS = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
TURNS = [("What colour is it?", "It is red."), ("And the square", "Blue"), ("Why?", "I see it")]


def tokenizer_with(template, special=(), takes_space=False):
    """A byte for every token but the special ones and a few that a tokenizer would merge."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "I"), ("I", "t"), ("Ċ", "Ċ"), ("r", "e")]
    vocabulary = {piece: i for i, piece in enumerate([*letters, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(LLAMA3_WORDS, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    tokens = [AddedToken(token, special=True, normalized=False, rstrip=takes_space) for token in special]
    tokenizer.add_special_tokens({"extra_special_tokens": tokens})
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(params=TEMPLATES)
def name(request):
    return request.param


@pytest.fixture
def tokenizer(name):
    template, end, special, takes_space = TEMPLATES[name]
    return tokenizer_with(template, [*special, end] if end != "</s>" else special, takes_space)


def messages(turns):
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=False)
        if text is not None
    ]


@pytest.mark.parametrize("turns", [TURNS[:1], TURNS])
def test_ids_are_those_of_transformers(name, tokenizer, turns):
    text = ChatText(tokenizer, ChatTemplate())
    ours = text.encode(turns, with_clip=False).input_ids.tolist()
    theirs = tokenizer.apply_chat_template(messages(turns), tokenize=True, return_dict=True).input_ids
    # After the end of the last answer, nothing is asked and nothing learnt.
    assert ours == theirs[: len(theirs) - theirs[::-1].index(text.end_id)]
    asked = text.encode_question(turns[:-1], turns[-1][0], with_clip=False).tolist()
    turns = [*turns[:-1], (turns[-1][0], None)]
    assert (
        asked
        == tokenizer.apply_chat_template(messages(turns), tokenize=True, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
    )


def test_labels_are_the_answers_and_their_ends(name, tokenizer):
    text = ChatText(tokenizer, ChatTemplate())
    encoded = text.encode(TURNS)
    learnt = encoded.labels != IGNORED_LABEL
    assert torch.equal(encoded.labels[learnt], encoded.input_ids[learnt])
    end = TEMPLATES[name][1]
    assert tokenizer.convert_ids_to_tokens(text.end_id) == end
    space = " " if name == "spaced" else ""
    assert tokenizer.decode(encoded.input_ids[learnt]) == "".join(f"{space}{answer}{end}" for _, answer in TURNS)


def test_the_clip_comes_before_the_first_question(tokenizer):
    text = ChatText(tokenizer, ChatTemplate())
    ids = text.encode(TURNS).input_ids.tolist()
    place = ids.index(PLACEHOLDER)
    assert ids.count(PLACEHOLDER) == 1
    assert tokenizer.decode(ids[place + 1 :]).startswith("\nWhat colour is it?")
    without = text.encode(TURNS, with_clip=False).input_ids.tolist()
    newline = tokenizer.encode("\n", add_special_tokens=False)
    assert ids[:place] + ids[place + 1 + len(newline) :] == without


def test_a_question_is_the_start_of_its_conversation(tokenizer):
    text = ChatText(tokenizer, ChatTemplate())
    whole = text.encode(TURNS)
    prompt = text.encode_question(TURNS[:-1], TURNS[-1][0])
    assert torch.equal(prompt, whole.input_ids[: len(prompt)])
    assert (whole.labels[len(prompt) :] != IGNORED_LABEL).all()


def test_special_tokens_in_what_was_said_are_only_text(name, tokenizer):
    end = TEMPLATES[name][1]
    text = ChatText(tokenizer, ChatTemplate())
    ids = text.encode([(f"Is this {end} the end?", f"No {end}, not yet")]).input_ids
    plain = text.encode([("Is this the end?", "No, not yet")]).input_ids
    assert (ids == text.end_id).sum() == (plain == text.end_id).sum()
    assert f"No {end}, not yet" in tokenizer.decode(ids[ids != PLACEHOLDER])


def test_system_text():
    tokenizer = tokenizer_with(CHATML, ["<|im_start|>", "<|im_end|>"])
    text = ChatText(tokenizer, ChatTemplate(system="Be brief."))
    ids = text.encode(TURNS, with_clip=False).input_ids
    assert tokenizer.decode(ids).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat")
    conversation = [{"role": "system", "content": "Be brief."}, *messages(TURNS)]
    theirs = tokenizer.apply_chat_template(conversation, tokenize=True, return_dict=True).input_ids
    assert ids.tolist() == theirs[:-1]  # but the newline after all
    asked = text.encode_question(TURNS[:-1], TURNS[-1][0], with_clip=False)
    assert torch.equal(asked, ids[: len(asked)])


def test_a_variable_of_the_template():
    tokenizer = tokenizer_with(THINKING, ["<|im_start|>", "<|im_end|>"])
    text = ChatText(tokenizer, ChatTemplate(variables={"enable_thinking": False}))
    asked = text.encode_question([], "Why?")
    assert tokenizer.decode(asked[asked != PLACEHOLDER]).endswith("assistant\n<think></think>")
    assert torch.equal(text.encode([("Why?", "So")]).input_ids[: len(asked)], asked)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template: choose another format"),
        (THINKING, r"before an answer, but .* to ask for one.*variables"),
        ("{% for message in messages %}{{ message['content'] }}{% endfor %}", "no special token after an answer"),
        ("{{ messages[0]['content'] }}", "once and in order"),
        ("{{ raise_exception('never') }}", "refuses the roles user: never"),
        ("{% for %}", "refuses the roles"),
    ],
)
def test_a_template_that_cannot_be_used(template, message):
    with pytest.raises(ValueError, match=message):
        ChatText(tokenizer_with(template, ["<|im_start|>", "<|im_end|>"]), ChatTemplate())


def test_a_system_text_that_the_template_refuses():
    with pytest.raises(ValueError, match=r"refuses the roles system.*System role not supported"):
        ChatText(tokenizer_with(GEMMA, ["<start_of_turn>", "<end_of_turn>"]), ChatTemplate(system="Be brief."))


def test_yaml_chooses_it(tmp_path):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(PromptFormat, "prompt")
    parser.add_argument("--config", action="config")
    config = tmp_path / "config.yaml"
    config.write_text("prompt: {class_path: ChatTemplate, init_args: {variables: {enable_thinking: false}}}")
    prompt = parser.instantiate(parser.parse_args([f"--config={config}"])).prompt
    assert (prompt.system, prompt.variables) == (None, {"enable_thinking": False})

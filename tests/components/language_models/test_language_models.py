"""Language models: loss, hidden states and greedy generation."""

import warnings
from copy import deepcopy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from components.language_models import LanguageModel, TinyLlama, TinyQwen3
from components.language_models.greedy import CACHE_ARGUMENT, LOOK_EVERY
from components.splice import IGNORED_LABEL, PaddingSide
from tests.components.small_language_model import (
    TURNS,
    generation_inputs,
    sharpened,
    small_llama,
    training_inputs,
    visual_tokens,
)


@pytest.fixture(scope="module")
def model():
    return small_llama()


@pytest.fixture(scope="module")
def absolute_model(model):
    """A network that, unlike a Llama, learns a vector for every absolute position."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(model.text.tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=128, tie_word_embeddings=False
    )
    return sharpened(LanguageModel(GPT2LMHeadModel(config), model.text))


@pytest.fixture
def visual():
    return visual_tokens()


def test_loss_is_the_mean_over_all_labels_of_the_batch(model, visual):
    embeddings, plan = training_inputs(model, [0, 1, 2], visual)
    output = model(embeddings, plan)

    logits = model.network(inputs_embeds=embeddings, attention_mask=plan.attention_mask).logits
    log_probabilities = logits[:, :-1].double().log_softmax(-1)
    labels = plan.labels[:, 1:]
    learnt = labels != IGNORED_LABEL
    expected = -log_probabilities[learnt].gather(1, labels[learnt][:, None]).mean()
    torch.testing.assert_close(output.loss.double(), expected, rtol=1e-6, atol=1e-6)
    real = plan.attention_mask[:, plan.scored_columns].bool()
    torch.testing.assert_close(output.logits[real], logits[:, plan.scored_columns][real])


def test_loss_of_a_batch_is_that_of_its_samples(model, visual):
    alone = [model(*training_inputs(model, [i], visual)).loss for i in range(3)]
    labels = [sum(len(model.text.tokenizer(f" {a}").input_ids) for _, a in turns) + len(turns) for turns in TURNS]
    mean = sum(loss * n for loss, n in zip(alone, labels, strict=True)) / sum(labels)
    torch.testing.assert_close(model(*training_inputs(model, [0, 1, 2], visual)).loss, mean, rtol=1e-5, atol=1e-5)


def test_loss_is_float32_in_a_bfloat16_model(visual):
    torch.manual_seed(0)
    model = TinyLlama(width=32, heads=2).to(torch.bfloat16)
    embeddings, plan = training_inputs(model, [0], visual)
    assert embeddings.dtype is torch.bfloat16
    assert model(embeddings, plan).loss.dtype is torch.float32


def test_hidden_states_are_the_ones_asked_for(model, visual):
    embeddings, plan = training_inputs(model, [0, 1], visual)
    first, last = model(embeddings, plan, hidden_layers=(0, -1)).hidden_states
    assert torch.equal(first, embeddings)
    logits = model.network.get_output_embeddings()(last)[:, plan.scored_columns]
    torch.testing.assert_close(logits, model(embeddings, plan).logits)
    assert model(embeddings, plan).hidden_states == ()


def test_hidden_states_of_a_network_with_absolute_positions(absolute_model, visual):
    embeddings, plan = training_inputs(absolute_model, [0, 1], visual)
    expected = absolute_model.network(
        inputs_embeds=embeddings,
        attention_mask=plan.attention_mask,
        position_ids=plan.position_ids,
        output_hidden_states=True,
    ).hidden_states
    states, real = absolute_model(embeddings, plan, hidden_layers=(1, -1)).hidden_states, plan.attention_mask.bool()
    for ours, theirs in zip(states, expected[1:], strict=True):
        torch.testing.assert_close(ours[real], theirs[real])


def test_gradients_reach_visual_tokens_and_every_weight(model, visual):
    visual = [tokens.clone().requires_grad_() for tokens in visual]
    model.zero_grad()
    model(*training_inputs(model, [0, 1, 2], visual)).loss.backward()
    assert all(tokens.grad.abs().sum(1).gt(0).all() for tokens in visual)
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_padding_has_no_influence(model, visual):
    embeddings, plan = training_inputs(model, [0, 1, 2], visual)
    disturbed = embeddings.masked_fill(plan.attention_mask[..., None] == 0, 3.0)
    assert torch.equal(model(disturbed, plan).loss, model(embeddings, plan).loss)


@pytest.mark.parametrize("name", ["model", "absolute_model"])
def test_the_side_of_the_padding_has_no_influence(name, visual, request):
    model = request.getfixturevalue(name)
    left, right = (model(*training_inputs(model, [0, 1, 2], visual, side)).loss for side in PaddingSide)
    torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


def test_nothing_to_learn(model, visual):
    with pytest.raises(ValueError, match="no sample of the batch has an answer"):
        model(*generation_inputs(model, [0], visual))


@pytest.mark.parametrize("name", ["model", "absolute_model"])
def test_generating_together_equals_generating_alone(name, visual, request):
    model = request.getfixturevalue(name)
    together = model.generate(*generation_inputs(model, [0, 1, 2], visual), max_new_tokens=12)
    assert len({tuple(row) for row in together.tolist()}) == 3
    for i in range(3):
        alone = model.generate(*generation_inputs(model, [i], visual), max_new_tokens=12)
        assert torch.equal(alone[0], together[i, : alone.shape[1]])


def test_generation_is_greedy_and_says_nothing(model, visual, caplog):
    embeddings, plan = generation_inputs(model, [2], visual)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new_ids = model.generate(embeddings, plan, max_new_tokens=8)
    assert not caplog.records
    # The same step by step, without a cache.
    expected = []
    while len(expected) < 8 and model.text.end_id not in expected:
        expected.append(int(model.network(inputs_embeds=embeddings).logits[0, -1].argmax()))
        embeddings = torch.cat([embeddings, model.embed(torch.tensor([expected[-1:]]))], dim=1)
    assert new_ids[0].tolist() == expected


def test_a_model_learns_to_answer_and_to_stop(visual):
    torch.manual_seed(0)
    model = TinyLlama(width=32, layers=2, heads=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(*training_inputs(model, [0, 1, 2], visual)).loss.backward()
        optimizer.step()
    new_ids = model.eval().generate(*generation_inputs(model, [0, 1, 2], visual), max_new_tokens=20)
    assert [model.text.decode(row) for row in new_ids] == ["It is red.", "Slowly.", "No, it is a cat on a table."]
    assert new_ids.shape[1] == len(model.text.tokenizer(f" {TURNS[2][-1][1]}").input_ids) + 1


def test_answer_that_could_be_too_long(model, visual):
    embeddings, plan = generation_inputs(model, [0], visual)
    with pytest.raises(ValueError, match=r"more than the 128"):
        model.generate(embeddings, plan, max_new_tokens=128)


def test_generating_needs_padding_on_the_left(model, visual):
    with pytest.raises(AssertionError):
        model.generate(*training_inputs(model, [0], visual), max_new_tokens=2)


def test_tiny_llama_follows_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in TinyLlama(width=16, heads=2).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_tiny_llama_refuses_an_odd_width():
    with pytest.raises(ValueError, match=r"width 20 .* 4 heads"):
        TinyLlama(width=20)


def inputs_of_passes(model):
    """Return what the network is given from now on, one dictionary for each forward pass."""
    given = []
    model.network.register_forward_pre_hook(lambda _, __, named: given.append(named), with_kwargs=True)
    return given


def ends_with(model, end_id):
    """Let answers end with what happens to be a token of theirs, or never, here and in transformers."""
    model.text.end_id = -1 if end_id is None else end_id
    settings = model.network.generation_config
    settings.eos_token_id = settings.pad_token_id = end_id


def test_the_cache_has_room_for_this_batch_and_its_longest_answer_and_no_more():
    model = small_llama()
    given = inputs_of_passes(model)
    embeddings, plan = generation_inputs(model, [0, 2], visual_tokens())
    model.generate(embeddings, plan, max_new_tokens=5)
    assert {inputs[CACHE_ARGUMENT].layers[0].max_cache_len for inputs in given} == {embeddings.shape[1] + 5}


@pytest.mark.parametrize("network", ["model", "absolute_model"])
@torch.no_grad()
def test_answers_are_those_of_transformers_wherever_they_end(network, visual, request):
    model = deepcopy(request.getfixturevalue(network))
    embeddings, plan = generation_inputs(model, [0, 1, 2], visual)

    def expected(longest):
        return model.network.generate(
            inputs_embeds=embeddings, attention_mask=plan.attention_mask, max_new_tokens=longest
        )

    ends_with(model, None)
    tokens = expected(11)
    for sample, column, longest in ((0, 0, 1), (1, 0, 11), (2, 1, 2), (0, 2, 11), (1, 6, 5), (2, 9, 11)):
        ends_with(model, int(tokens[sample, column]))
        assert torch.equal(model.generate(embeddings, plan, longest), expected(longest))


@torch.no_grad()
def test_few_passes_are_for_nothing(visual):
    """All ends are looked for after 1, 2 and 4 tokens, and then after every few."""
    model = small_llama()
    embeddings, plan = generation_inputs(model, [1], visual)
    ends_with(model, None)
    (tokens,) = model.network.generate(inputs_embeds=embeddings, max_new_tokens=14).tolist()
    given = inputs_of_passes(model)
    for length in range(1, 15):
        if tokens[length - 1] in tokens[: length - 1]:
            continue
        ends_with(model, tokens[length - 1])
        given.clear()
        assert model.generate(embeddings, plan, 14).shape[1] == length
        looks = [1, 2, 4, *range(4 + LOOK_EVERY, 14, LOOK_EVERY), 14]
        assert len(given) == min(look for look in looks if look >= length)


@pytest.mark.parametrize("network", [TinyLlama, TinyQwen3])
@torch.no_grad()
def test_answers_under_autocast_are_those_of_a_cache_that_grows(network, visual):
    torch.manual_seed(0)
    model = network(width=32, layers=2, heads=2).eval()
    embeddings, plan = generation_inputs(model, [0, 1, 2], visual)
    ends_with(model, None)
    given, logits = inputs_of_passes(model), []
    model.network.register_forward_hook(lambda _, __, output: logits.append(output.logits[:, -1]))
    with torch.autocast("cpu", torch.bfloat16):
        model.network.generate(inputs_embeds=embeddings, attention_mask=plan.attention_mask, max_new_tokens=8)
        growing = torch.stack(logits)
        logits.clear(), given.clear()
        model.generate(embeddings, plan, max_new_tokens=8)
        room = torch.stack(logits)
    kept = given[0][CACHE_ARGUMENT].layers[0]
    assert kept.keys.dtype == kept.values.dtype == torch.bfloat16
    # Where two words are as likely as can be told, either may come first; what follows is of another beginning.
    alike = (room.argmax(-1) == growing.argmax(-1)).cumprod(0)
    comparable = torch.cat([torch.ones_like(alike[:1]), alike[:-1]]).bool()
    assert comparable.float().mean() > 0.5
    torch.testing.assert_close(room[comparable], growing[comparable], rtol=0, atol=0.05 * float(growing.std()))

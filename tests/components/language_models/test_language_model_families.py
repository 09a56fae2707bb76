"""The families of pretrained language models: the same promises hold for every one."""

import weakref

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import BloomConfig, BloomForCausalLM

from components.adapters import LoRA
from components.language_models import ChatText, LanguageModel, PretrainedCausalLM, ShortPrompt
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from components.splice import PaddingSide, plan_splice, splice
from tests.components.tiny_networks import LAYERS, WIDTH

TURNS = [[("What colour is it?", "It is red.")], [("Which way?", "Left."), ("How fast?", "Slowly.")]]
COUNTS = [7, 3]
IDS = torch.tensor([[5, 9, 200, 31, 77, 4]])


@pytest.fixture(scope="module")
def model(tiny_folder):
    return PretrainedCausalLM(tiny_folder, prompt=ShortPrompt).eval()


@pytest.fixture
def visual():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, WIDTH, generator=generator) for count in COUNTS]


def inputs(model, samples, visual, answered=True, side=PaddingSide.RIGHT):
    encoded = [model.text.encode(TURNS[i]) for i in samples]
    asked = [model.text.encode_question(TURNS[i][:-1], TURNS[i][-1][0]) for i in samples]
    plan = plan_splice(
        [text.input_ids for text in encoded] if answered else asked,
        [COUNTS[i] for i in samples],
        [text.labels for text in encoded] if answered else None,
        padding_side=side,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), torch.cat([visual[i] for i in samples]), plan), plan


def test_embeddings_as_inputs_are_the_ids(model):
    """Gemma multiplies what its table holds by the square root of the width: once, whoever looks it up."""
    by_ids = model.network(input_ids=IDS).logits
    assert torch.equal(model.network(inputs_embeds=model.embed(IDS)).logits, by_ids)
    # What a token attends to shows in its logits; else this would not say much.
    assert not torch.allclose(by_ids, model.network(input_ids=IDS.flip(1)).logits.flip(1), atol=1e-2)


def test_loss_and_logits_at_scored_columns(model, visual):
    embeddings, plan = inputs(model, [0, 1], visual)
    output = model(embeddings, plan)
    logits = model.network(
        inputs_embeds=embeddings, attention_mask=plan.attention_mask, position_ids=plan.position_ids
    ).logits
    real = plan.attention_mask[:, plan.scored_columns].bool()
    torch.testing.assert_close(output.logits[real], logits[:, plan.scored_columns][real])
    torch.testing.assert_close(output.loss, model.network.loss_function(logits, plan.labels, logits.shape[-1]))


def test_the_side_of_the_padding_has_no_influence(model, visual):
    left, right = (model(*inputs(model, [0, 1], visual, side=side)).loss for side in PaddingSide)
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)


def test_generating_together_equals_generating_alone_and_by_ids(model, visual):
    def generate(samples):
        return model.generate(*inputs(model, samples, visual, False, PaddingSide.LEFT), max_new_tokens=10)

    together = generate([0, 1])
    assert not torch.equal(together[0], together[1])
    for i in range(2):
        alone = generate([i])
        assert torch.equal(alone[0], together[i, : alone.shape[1]])

    plan = plan_splice([IDS[0]], [], None, padding_side=PaddingSide.LEFT, pad_id=0, max_length=99)
    by_ids = model.network.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=10)
    assert torch.equal(model.generate(model.embed(IDS), plan, max_new_tokens=10)[0], by_ids[0, IDS.shape[1] :])


def test_attention_implementations_agree(tiny_folder, model, visual):
    eager = PretrainedCausalLM(tiny_folder, prompt=ShortPrompt, attention="eager").eval()
    torch.testing.assert_close(*(m(*inputs(m, [0, 1], visual)).loss for m in (eager, model)), rtol=1e-5, atol=1e-5)


@pytest.fixture(params=["plain", "checkpointed", "adapted", "both"])
def variant(request, tiny_folder):
    adapter = {"adapter": lambda: LoRA(rank=2)} if request.param in ("adapted", "both") else {}
    checkpointing = request.param in ("checkpointed", "both")
    return PretrainedCausalLM(tiny_folder, prompt=ShortPrompt, gradient_checkpointing=checkpointing, **adapter)


def test_hidden_states_are_those_of_transformers(variant, visual):
    variant.train()
    embeddings, plan = inputs(variant, [0, 1], visual)
    expected = variant.network(
        inputs_embeds=embeddings,
        attention_mask=plan.attention_mask,
        position_ids=plan.position_ids,
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states
    asked, real = (LAYERS, 0, 2, -1, -2), plan.attention_mask.bool()
    for layer, state in zip(asked, variant(embeddings, plan, asked).hidden_states, strict=True):
        torch.testing.assert_close(state[real], expected[layer][real])


@pytest.mark.parametrize("side", PaddingSide)
def test_padding_on_the_right_needs_neither_mask_nor_positions(model, visual, side):
    given = []
    hook = model.network.register_forward_pre_hook(lambda _, __, named: given.append(named), with_kwargs=True)
    model(*inputs(model, [0, 1], visual, side=side))
    hook.remove()
    padded_left = side is PaddingSide.LEFT
    assert all((given[0][name] is not None) == padded_left for name in ("attention_mask", "position_ids"))


@pytest.mark.skipif(Version(transformers.__version__) < Version("5.23"), reason="keeps all of them or none")
@torch.no_grad()
def test_only_the_hidden_states_asked_for_are_kept(model, visual):
    embeddings, plan = inputs(model, [0, 1], visual)
    layers = model.network.get_decoder().layers
    outputs, alive = [], []
    hooks = [layer.register_forward_hook(lambda _, __, out: outputs.append(weakref.ref(out))) for layer in layers]
    hooks.append(
        model.network.get_output_embeddings().register_forward_hook(
            lambda *_: alive.append(sum(output() is not None for output in outputs))
        )
    )
    for asked in ((), (1,), (1, 2), (0, -1)):
        outputs.clear()
        model(embeddings, plan, asked)
    for hook in hooks:
        hook.remove()
    last = alive[0]  # a family may still hold the output of its last layer
    assert last <= 1
    assert alive == [last, last + 1, last + 2, last]


def test_gradients_pass_through_a_frozen_checkpointed_network(tiny_folder, visual):
    gradients, computed = [], []
    for checkpointing in (False, True):
        model = PretrainedCausalLM(tiny_folder, prompt=ShortPrompt, gradient_checkpointing=checkpointing).train()
        model.requires_grad_(False)
        tokens = [features.clone().requires_grad_() for features in visual]
        calls = []
        # Before it, since what is computed again stops at the last tensor that the gradient needs.
        model.network.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        model(*inputs(model, [0, 1], tokens)).loss.backward()
        gradients.append(torch.cat([token.grad for token in tokens]))
        computed.append(len(calls))
        assert all(weight.grad is None for weight in model.parameters())
    assert computed == [1, 2]
    assert gradients[0].abs().sum(1).gt(0).all()
    assert torch.equal(*gradients)


@pytest.mark.parametrize("asked", [(), (0, 1, -1)])
def test_gradients_of_all_weights_are_the_same_checkpointed(tiny_folder, visual, asked):
    plain, checkpointed = (
        PretrainedCausalLM(tiny_folder, prompt=ShortPrompt, gradient_checkpointing=checkpointing).train()
        for checkpointing in (False, True)
    )
    for model in (plain, checkpointed):
        output = model(*inputs(model, [0, 1], visual), asked)
        # As distillation does, which learns from hidden states too.
        sum((states.square().mean() for states in output.hidden_states), output.loss).backward()
    for ours, theirs in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def bloom(**more):
    """A family that knows no position ids: how far away a token is, is a bias of the attention."""
    tokenizer = build_tiny_tokenizer()
    config = BloomConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        pad_token_id=None,
        **more,
    )
    torch.manual_seed(0)
    return LanguageModel(BloomForCausalLM(config).eval(), ChatText(tokenizer, ShortPrompt()))


def test_a_network_without_position_ids(visual):
    model = bloom(max_position_embeddings=128)
    left, right = (model(*inputs(model, [0, 1], visual, side=side)).loss for side in PaddingSide)
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)
    embeddings, plan = inputs(model, [0, 1], visual, False, PaddingSide.LEFT)
    expected = model.network.generate(
        inputs_embeds=embeddings, attention_mask=plan.attention_mask, max_new_tokens=6
    )  # with a mask of another shape than that of other families
    assert torch.equal(model.generate(embeddings, plan, max_new_tokens=6), expected)


def test_a_network_that_does_not_say_its_length():
    with pytest.raises(ValueError, match=r"BloomConfig does not say .* max_position_embeddings"):
        bloom()


def test_a_hidden_state_that_is_not_there(model, visual):
    for layer in (LAYERS + 1, -LAYERS - 2):
        with pytest.raises(ValueError, match=f"no hidden state {layer}: the language model has {LAYERS} layers"):
            model(*inputs(model, [0], visual), hidden_layers=(0, layer))

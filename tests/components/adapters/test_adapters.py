"""Adapters: only they learn, and they merge exactly."""

import warnings

import peft
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from components.adapters import LoRA, NoAdapter
from components.language_models import ChatText, LanguageModel, ShortPrompt, TinyLlama
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from components.splice import PaddingSide
from lightning_modules.training.stage import Stage
from tests.components.adapted_networks import adapted, disturb, inputs, learning, visual_tokens
from tests.components.tiny_networks import WIDTH


@pytest.fixture
def visual():
    return visual_tokens()


def test_an_untrained_adapter_changes_nothing(tiny_folder, visual):
    plain, model = adapted(tiny_folder, NoAdapter).eval(), adapted(tiny_folder).eval()
    assert torch.equal(model(*inputs(model, visual)).logits, plain(*inputs(plain, visual)).logits)
    assert isinstance(model.network, peft.PeftModel)
    assert not any("lora" in name for name, _ in plain.named_parameters())


def test_only_the_adapter_learns(tiny_folder, visual):
    model = adapted(tiny_folder, lambda: LoRA(rank=3))
    lora = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert learning(model) == lora
    assert model.requires_grad_(False) is model
    assert learning(model) == set()
    model.requires_grad_(True)
    assert learning(model) == lora
    # Every linear layer but the output layer, and the adapter is small.
    linear = {n for n, m in model.network.get_base_model().named_modules() if n.endswith("_proj.base_layer")}
    assert len(lora) == 2 * len(linear)
    assert not any("lm_head" in name for name in lora)
    assert all(min(weight.shape) == 3 for name, weight in model.named_parameters() if name in lora)


def test_a_stage_trains_the_adapter_alone():
    model = TinyLlama(width=16, heads=2, adapter=LoRA)
    groups = {"encoder": torch.nn.Linear(2, 2), "projector": torch.nn.Linear(2, 2), "language_model": model}
    stage = Stage(encoder=1e-3, projector=0, language_model=1e-4, distillation=0)
    stage.freeze(groups)
    encoder, language_model = stage.optimizer(groups).param_groups
    lora = [weight for name, weight in model.named_parameters() if "lora_" in name]
    assert [id(weight) for weight in language_model["params"]] == [id(weight) for weight in lora]
    assert (encoder["lr"], language_model["lr"]) == (1e-3, 1e-4)
    Stage(encoder=1e-3, projector=0, language_model=0, distillation=0).freeze(groups)
    assert learning(model) == set()


def test_without_an_adapter_all_weights_learn_or_none():
    model = TinyLlama(width=16, heads=2)
    assert len(learning(model)) == len(list(model.parameters()))
    assert learning(model.requires_grad_(False)) == set()
    assert learning(model.requires_grad_()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_moves_the_adapter_alone_and_reaches_the_visual_tokens(tiny_folder, visual, checkpointing):
    model = adapted(tiny_folder, gradient_checkpointing=checkpointing).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    visual.requires_grad_()
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=1.0)
    for _ in range(2):  # A gets a gradient once B is not zero
        model(*inputs(model, visual)).loss.backward()
        optimizer.step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == learning(model)
    assert visual.grad.abs().sum(1).gt(0).all()


def test_a_checkpointed_adapter_learns_from_inputs_that_do_not(tiny_folders, visual):
    """As when encoder and projector are frozen: nothing that enters the network needs a gradient."""
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = disturb(adapted(tiny_folders["llama"], gradient_checkpointing=checkpointing)).train()
        embeddings, plan = inputs(model, visual)
        model(embeddings.detach(), plan).loss.backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]))
    assert gradients[0].any()
    assert torch.equal(*gradients)


def test_merging_gives_the_same_logits_and_generation(tiny_folder, visual):
    model = disturb(adapted(tiny_folder))
    untrained = adapted(tiny_folder).eval()
    logits = model(*inputs(model, visual)).logits
    assert (logits - untrained(*inputs(untrained, visual)).logits).abs().max() > 0.1
    answer = model.generate(*inputs(model, visual, PaddingSide.LEFT), max_new_tokens=8)
    # Step by step through the adapted network, without a cache.
    embeddings, _ = inputs(model, visual, PaddingSide.LEFT)
    for new_id in answer[0]:
        assert model.network(inputs_embeds=embeddings).logits[0, -1].argmax() == new_id
        embeddings = torch.cat([embeddings, model.embed(new_id.view(1, 1))], dim=1)

    model.merge_adapter()
    merged = model(*inputs(model, visual)).logits
    assert (merged - logits).abs().max() < 1e-5 * logits.abs().max()
    assert torch.equal(model.generate(*inputs(model, visual, PaddingSide.LEFT), max_new_tokens=8), answer)
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert isinstance(model.adapter, NoAdapter)
    assert learning(model.requires_grad_()) == {name for name, _ in model.named_parameters()}


def test_an_adapter_of_a_bfloat16_network_learns_in_float32(tiny_folders, visual):
    model = adapted(tiny_folders["llama"], dtype="bfloat16").train()
    dtypes = {weight.requires_grad: weight.dtype for weight in model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    loss = model(*inputs(model, visual)).loss
    loss.backward()
    assert loss.dtype is torch.float32
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_a_network_whose_linear_layers_are_transposed():
    tokenizer = build_tiny_tokenizer()
    network = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LanguageModel(network, ChatText(tokenizer, ShortPrompt()), lambda: LoRA(dropout=0))
    logits = disturb(model).network(torch.tensor([[5, 9, 200]])).logits
    model.merge_adapter()
    torch.testing.assert_close(model.network(torch.tensor([[5, 9, 200]])).logits, logits)
    with pytest.raises(ValueError, match="it has c_attn, c_fc, c_proj, lm_head"):
        LanguageModel(network, model.text, lambda: LoRA(target_modules=["q_proj"]))


def test_the_size_of_the_change(tiny_folders, visual):
    """W x + alpha / rank * B A x."""
    model = disturb(adapted(tiny_folders["llama"], lambda: LoRA(rank=2, alpha=6, dropout=0)))
    layer = model.network.get_base_model().model.layers[0].self_attn.q_proj
    x = torch.randn(4, WIDTH)
    change = x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T
    torch.testing.assert_close(layer(x), layer.base_layer(x) + 6 / 2 * change)

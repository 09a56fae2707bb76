"""Adapters: only they learn, they merge and save exactly, and PEFT reads what they write."""

import copy
import json
import warnings

import jsonargparse
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import components.adapters as family
from components.adapters import Adapter, LoRA, NoAdapter, QLoRA, SavedAdapter
from components.language_models import ChatText, LanguageModel, PretrainedCausalLM, ShortPrompt, TinyLlama
from components.language_models.tiny_tokenizer import build_tiny_tokenizer
from components.splice import PaddingSide, plan_splice, splice
from lightning_modules.stage import Stage
from tests.components.tiny_networks import FAMILIES, WIDTH, save_tiny_network

TURNS = [("What colour is it?", "It is red.")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {name: save_tiny_network(name, root / name) for name in FAMILIES}


@pytest.fixture(params=FAMILIES)
def folder(request, folders):
    return folders[request.param]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def adapted(folder, adapter=lambda: LoRA(rank=4, dropout=0), **options):
    return PretrainedCausalLM(folder, prompt=ShortPrompt, adapter=adapter, **options)


@torch.no_grad()
def disturb(model):
    """As if trained: B starts at zero, with which an adapter does nothing."""
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.03)
    return model.eval()


def inputs(model, visual, side=PaddingSide.RIGHT):
    answered = side is PaddingSide.RIGHT
    encoded = model.text.encode(TURNS)
    plan = plan_splice(
        [encoded.input_ids if answered else model.text.encode_question([], TURNS[0][0])],
        [len(visual)],
        [encoded.labels] if answered else None,
        padding_side=side,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), visual, plan), plan


@pytest.fixture
def visual():
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))


def test_an_untrained_adapter_changes_nothing(folder, visual):
    plain, model = adapted(folder, NoAdapter).eval(), adapted(folder).eval()
    assert torch.equal(model(*inputs(model, visual)).logits, plain(*inputs(plain, visual)).logits)
    assert isinstance(model.network, peft.PeftModel)
    assert not any("lora" in name for name, _ in plain.named_parameters())


def learning(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_only_the_adapter_learns(folder, visual):
    model = adapted(folder, lambda: LoRA(rank=3))
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
def test_training_moves_the_adapter_alone_and_reaches_the_visual_tokens(folder, visual, checkpointing):
    model = adapted(folder, gradient_checkpointing=checkpointing).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    visual.requires_grad_()
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=1.0)
    for _ in range(2):  # A gets a gradient once B is not zero
        model(*inputs(model, visual)).loss.backward()
        optimizer.step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == learning(model)
    assert visual.grad.abs().sum(1).gt(0).all()


def test_a_checkpointed_adapter_learns_from_inputs_that_do_not(folders, visual):
    """As when encoder and projector are frozen: nothing that enters the network needs a gradient."""
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = disturb(adapted(folders["llama"], gradient_checkpointing=checkpointing)).train()
        embeddings, plan = inputs(model, visual)
        model(embeddings.detach(), plan).loss.backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]))
    assert gradients[0].any()
    assert torch.equal(*gradients)


def test_merging_gives_the_same_logits_and_generation(folder, visual):
    model = disturb(adapted(folder))
    untrained = adapted(folder).eval()
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


def test_a_saved_adapter_is_read_by_peft_and_by_us(folder, visual, tmp_path):
    model = disturb(adapted(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_adapter(tmp_path)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {file.name for file in tmp_path.iterdir()}
    embeddings, plan = inputs(model, visual)
    logits = model(embeddings, plan).logits

    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path).eval()
    assert torch.equal(theirs(inputs_embeds=embeddings).logits[:, plan.scored_columns], logits)

    ours = adapted(folder, lambda: SavedAdapter(str(tmp_path))).eval()
    assert torch.equal(ours(*inputs(ours, visual)).logits, logits)
    assert learning(ours) == learning(model)  # to be trained on


def test_a_checkpoint_resumes_exactly(folders, visual):
    def train(model, steps, optimizer_state=None):
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
        if optimizer_state is not None:
            optimizer.load_state_dict(copy.deepcopy(optimizer_state))
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(*inputs(model, visual)).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, copy.deepcopy(optimizer.state_dict())

    torch.manual_seed(0)
    first = adapted(folders["llama"]).train()
    _, optimizer_state = train(first, 3)
    checkpoint = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    uninterrupted, _ = train(first, 3, optimizer_state)
    torch.manual_seed(5)  # other values of A
    resumed = adapted(folders["llama"]).train()
    resumed.load_state_dict(checkpoint)
    assert train(resumed, 3, optimizer_state)[0] == uninterrupted
    assert len(set(uninterrupted)) == 3


def test_an_adapter_of_a_bfloat16_network_learns_in_float32(folders, visual):
    model = adapted(folders["llama"], dtype="bfloat16").train()
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


def test_target_modules(folders):
    model = adapted(folders["llama"], lambda: LoRA(target_modules=["q_proj", "layers.1.mlp.up_proj"]))
    changed = {name.split(".lora_")[0].removeprefix("network.base_model.model.model.") for name in learning(model)}
    assert changed == {*(f"layers.{i}.self_attn.q_proj" for i in range(3)), "layers.1.mlp.up_proj"}


def test_the_size_of_the_change(folders, visual):
    """W x + alpha / rank * B A x."""
    model = disturb(adapted(folders["llama"], lambda: LoRA(rank=2, alpha=6, dropout=0)))
    layer = model.network.get_base_model().model.layers[0].self_attn.q_proj
    x = torch.randn(4, WIDTH)
    change = x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T
    torch.testing.assert_close(layer(x), layer.base_layer(x) + 6 / 2 * change)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, r"adapter\.init_args\.rank: 0 is not at least 1"),
        ({"alpha": 0}, r"alpha: 0"),
        ({"dropout": 1.0}, r"dropout: 1\.0"),
        ({"target_modules": []}, r"target_modules is empty"),
    ],
)
@pytest.mark.parametrize("kind", [LoRA, QLoRA])
def test_a_value_out_of_range(kind, options, said):
    with pytest.raises(ValueError, match=said):
        kind(**options)


def test_a_target_that_does_not_exist_is_named_though_another_does(folders):
    with pytest.raises(ValueError, match=r"no linear layer query, wv; it has .*k_proj, lm_head, .*q_proj"):
        adapted(folders["llama"], lambda: LoRA(target_modules=["q_proj", "query", "wv"]))


@pytest.mark.parametrize("other", ["qwen3", "phi3"])
def test_an_adapter_of_another_base(folders, tmp_path, other):
    adapted(folders["llama"]).save_adapter(tmp_path)
    with pytest.raises(ValueError, match=r"was trained on \S*llama, the language model is \S*" + other):
        adapted(folders[other], lambda: SavedAdapter(str(tmp_path)))


def test_an_adapter_whose_tensors_do_not_fit(folders, tmp_path):
    adapted(folders["llama"]).save_adapter(tmp_path)
    # Under no name, the tensors tell.
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match=r"adapter\.init_args\.folder: the adapter in .* does not fit"):
        adapted(folders["phi3"], lambda: SavedAdapter(str(tmp_path)))


def test_an_adapter_of_another_width(tmp_path):
    TinyLlama(width=16, heads=2, adapter=LoRA).save_adapter(tmp_path)
    assert TinyLlama(width=16, heads=2, adapter=lambda: SavedAdapter(str(tmp_path)))
    with pytest.raises(ValueError, match=r"belongs to another language model: 28 tensors differ, .* \(16, 88\) here"):
        TinyLlama(width=32, heads=2, adapter=lambda: SavedAdapter(str(tmp_path)))
    with pytest.raises(ValueError, match=r"belongs to another language model: 14 tensors differ, .* absent here"):
        TinyLlama(width=16, heads=2, layers=1, adapter=lambda: SavedAdapter(str(tmp_path)))


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(ValueError, match=r"has no adapter_config\.json and no adapter_model\.safetensors"):
        SavedAdapter(str(tmp_path))


def test_saving_without_an_adapter(tmp_path):
    with pytest.raises(ValueError, match=r"no adapter to save .* NoAdapter"):
        TinyLlama(width=16, heads=2).save_adapter(tmp_path)


@pytest.fixture
def parser():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LanguageModel, "language_model")
    parser.add_argument("--config", action="config")
    return parser


def test_flags_choose_an_adapter(parser):
    flags = ["--language_model=TinyLlama", "--language_model.adapter=LoRA", "--language_model.adapter.rank=2"]
    model = parser.instantiate(parser.parse_args(flags)).language_model
    assert isinstance(model.adapter, LoRA)
    assert model.adapter.rank == 2


def test_yaml_chooses_an_adapter(parser, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "language_model:\n  class_path: TinyLlama\n  init_args:\n    adapter:\n      class_path: LoRA\n"
        "      init_args: {rank: 2, target_modules: [q_proj, v_proj]}\n"
    )
    arguments = parser.parse_args([f"--config={config}"])
    saved = tmp_path / "saved.yaml"
    saved.write_text(parser.dump(arguments))
    for file in (config, saved):
        model = parser.instantiate(parser.parse_args([f"--config={file}"])).language_model
        assert sum("lora_A" in name for name in learning(model)) == 4


def test_every_adapter_is_in_the_package():
    def below(cls):
        return {cls, *(c for child in cls.__subclasses__() for c in below(child))}

    assert {cls.__name__ for cls in below(Adapter)} - {"PeftAdapter"} <= set(family.__all__)

"""Quantised language models: what is refused without the package, and what is promised with it."""

import importlib.util

import pytest
import torch

from components.adapters import LoRA, NoAdapter, QLoRA
from components.language_models import (
    NF4,
    ChatText,
    LanguageModel,
    NoQuantization,
    PretrainedCausalLM,
    ShortPrompt,
    TinyLlama,
)
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from tests.components.tiny_networks import save_tiny_network, tiny_network

TRUE_FIND_SPEC = importlib.util.find_spec


def marked(adapter):
    """A language model whose network carries transformers' mark of quantised weights."""
    network = tiny_network("llama")
    network.is_quantized = True
    return LanguageModel(network, ChatText(build_tiny_tokenizer(), ShortPrompt()), adapter)


def test_without_the_package(monkeypatch, tmp_path):
    folder = save_tiny_network("llama", tmp_path)
    monkeypatch.setattr(
        "components.language_models.quantization.find_spec",
        lambda name: None if name == "bitsandbytes" else TRUE_FIND_SPEC(name),
    )
    with pytest.raises(ValueError, match=r"quantization is NF4, which needs the package bitsandbytes: `pip install"):
        PretrainedCausalLM(folder, quantization=NF4)


def test_qlora_refuses_weights_that_are_not_quantised():
    with pytest.raises(ValueError, match=r"adapter is QLoRA, but .* not quantised: .*quantization set to NF4"):
        TinyLlama(width=16, heads=2, adapter=QLoRA)


def test_lora_on_quantised_weights_is_called_by_its_name():
    with pytest.raises(ValueError, match=r"set model\.language_model\.init_args\.adapter to QLoRA"):
        marked(LoRA)


def test_quantised_weights_cannot_learn():
    model = marked(NoAdapter)
    with pytest.raises(ValueError, match=r"quantised weights cannot learn: set .*adapter to QLoRA"):
        model.requires_grad_(True)
    model.requires_grad_(False)
    assert not any(weight.requires_grad for weight in model.parameters())


def test_quantised_weights_cannot_be_exported(tmp_path):
    model = PretrainedCausalLM(save_tiny_network("llama", tmp_path / "whole"), prompt=ShortPrompt)
    model.network.is_quantized = True
    with pytest.raises(ValueError, match=r"are quantised .*, and only whole ones can be written"):
        model.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("bitsandbytes")
    return save_tiny_network("llama", tmp_path)


def test_weights_in_four_bits(folder):
    full, model = (
        PretrainedCausalLM(folder, prompt=ShortPrompt, quantization=kind).eval() for kind in (NoQuantization, NF4)
    )
    functional = pytest.importorskip("bitsandbytes.functional")
    weights = {name: weight for name, weight in model.network.named_parameters() if weight.dtype is torch.uint8}
    assert len(weights) == 21
    for name, weight in weights.items():
        state = weight.quant_state
        assert (state.quant_type, state.nested) == ("nf4", True)
        whole = full.network.get_parameter(name)
        unpacked = functional.dequantize_4bit(weight, state).float().cpu()
        assert torch.nn.functional.cosine_similarity(unpacked.flatten(), whole.flatten(), dim=0) > 0.95
        assert not torch.equal(unpacked, whole)
        whole.data = unpacked
    ids = torch.tensor([[5, 9, 200, 31]])
    device = next(model.parameters()).device
    ours = model.network(inputs_embeds=model.embed(ids.to(device))).logits.cpu()
    torch.testing.assert_close(ours, full.network(ids).logits, rtol=0.05, atol=0.05)  # in bfloat16


def stored(tensors):
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def test_sizes_are_those_of_loaded_weights(folder):
    """All but the tables of the 16 and 256 values that codes stand for, which are the same for all weights."""
    with torch.device("meta"):
        sized = PretrainedCausalLM(str(folder), prompt=ShortPrompt, quantization=NF4, adapter=QLoRA)
    loaded = PretrainedCausalLM(folder, prompt=ShortPrompt, quantization=NF4, adapter=QLoRA)
    states = [weight.quant_state for weight in loaded.parameters() if weight.dtype == torch.uint8]
    scales = [scale for state in states for scale in (state.absmax, state.state2.absmax)]
    assert len(states) == 21
    assert stored([*sized.parameters(), *sized.buffers()]) == stored([*loaded.parameters(), *loaded.buffers(), *scales])


@pytest.mark.parametrize(
    "rows, columns, bits", [(4096, 4096, 4 + 8 / 64 + 32 / 64 / 256), (3, 5, 8 * (8 + 1 + 4) / 15)]
)
def test_a_linear_layer_in_four_bits_has_its_shape_and_less_memory(rows, columns, bits):
    network = torch.nn.Module()
    network.layer = torch.nn.Linear(columns, rows, device="meta")
    network.head = torch.nn.Linear(columns, rows, device="meta")
    network.get_output_embeddings = lambda: network.head
    NF4().take_sizes(network)
    weight = network.layer.weight
    assert (weight.shape, weight.requires_grad) == ((rows, columns), False)
    assert 8 * weight.untyped_storage().nbytes() / weight.numel() == pytest.approx(bits)
    assert network.head.weight.untyped_storage().nbytes() == 4 * rows * columns
    entering = torch.empty(2, 7, columns, device="meta", requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        leaving = network.layer(entering)
    leaving.sum().backward()
    assert (leaving.shape, leaving.dtype, entering.grad.shape) == ((2, 7, rows), torch.float32, (2, 7, columns))
    assert kept == []


def test_on_the_meta_device_they_cannot_be_trained_either(tmp_path):
    folder = str(save_tiny_network("llama", tmp_path))
    with torch.device("meta"):
        frozen = PretrainedCausalLM(folder, prompt=ShortPrompt, quantization=NF4)
        adapted = PretrainedCausalLM(folder, prompt=ShortPrompt, quantization=NF4, adapter=QLoRA)
    with pytest.raises(ValueError, match=r"quantised weights cannot learn: set .*adapter to QLoRA"):
        frozen.requires_grad_()
    learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert learning == {name for name, _ in adapted.named_parameters() if "lora_" in name} != set()


def test_qlora_trains_beside_quantised_weights(folder):
    model = PretrainedCausalLM(
        folder, prompt=ShortPrompt, quantization=NF4, adapter=QLoRA, gradient_checkpointing=True
    ).train()
    weight = next(w for name, w in model.named_parameters() if name.endswith("q_proj.base_layer.weight"))
    before = weight.clone()
    embeddings = model.embed(torch.tensor([[5, 9, 200, 31]], device=weight.device)).detach().requires_grad_()
    model.network(inputs_embeds=embeddings).logits.square().mean().backward()
    assert embeddings.grad.abs().sum() > 0
    learning = {name for name, w in model.named_parameters() if w.requires_grad}
    assert learning == {name for name, _ in model.named_parameters() if "lora_" in name}
    assert all(w.grad is not None for w in model.parameters() if w.requires_grad)
    assert torch.equal(weight, before)


def test_it_is_loaded_on_the_current_gpu_and_not_on_all(monkeypatch):
    monkeypatch.setattr("components.language_models.quantization.find_spec", lambda name: name)
    monkeypatch.setattr("components.language_models.quantization.BitsAndBytesConfig", dict)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 3)
    assert NF4().load_arguments()["device_map"] == {"": 3}
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "device_map" not in NF4().load_arguments()

"""Saved adapters: PEFT reads what they write, and an adapter of another network is refused."""

import copy
import json
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from components.adapters import LoRA, SavedAdapter
from components.language_models import TinyLlama
from tests.components.adapted_networks import adapted, disturb, inputs, learning, visual_tokens


def test_a_saved_adapter_is_read_by_peft_and_by_us(tiny_folder, tmp_path):
    visual = visual_tokens()
    model = disturb(adapted(tiny_folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_adapter(tmp_path)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {file.name for file in tmp_path.iterdir()}
    embeddings, plan = inputs(model, visual)
    logits = model(embeddings, plan).logits

    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), tmp_path).eval()
    assert torch.equal(theirs(inputs_embeds=embeddings).logits[:, plan.scored_columns], logits)

    ours = adapted(tiny_folder, lambda: SavedAdapter(str(tmp_path))).eval()
    assert torch.equal(ours(*inputs(ours, visual)).logits, logits)
    assert learning(ours) == learning(model)  # to be trained on


def test_a_checkpoint_resumes_exactly(tiny_folders):
    visual = visual_tokens()

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
    first = adapted(tiny_folders["llama"]).train()
    _, optimizer_state = train(first, 3)
    checkpoint = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    uninterrupted, _ = train(first, 3, optimizer_state)
    torch.manual_seed(5)  # other values of A
    resumed = adapted(tiny_folders["llama"]).train()
    resumed.load_state_dict(checkpoint)
    assert train(resumed, 3, optimizer_state)[0] == uninterrupted
    assert len(set(uninterrupted)) == 3


@pytest.mark.parametrize("other", ["qwen3", "phi3"])
def test_an_adapter_of_another_base(tiny_folders, tmp_path, other):
    adapted(tiny_folders["llama"]).save_adapter(tmp_path)
    with pytest.raises(ValueError, match=r"was trained on \S*llama, the language model is \S*" + other):
        adapted(tiny_folders[other], lambda: SavedAdapter(str(tmp_path)))


def test_an_adapter_whose_tensors_do_not_fit(tiny_folders, tmp_path):
    adapted(tiny_folders["llama"]).save_adapter(tmp_path)
    # Under no name, the tensors tell.
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match=r"adapter\.init_args\.folder: the adapter in .* does not fit"):
        adapted(tiny_folders["phi3"], lambda: SavedAdapter(str(tmp_path)))


def test_an_adapter_of_another_width(tmp_path):
    TinyLlama(width=16, heads=2, adapter=LoRA).save_adapter(tmp_path)
    assert TinyLlama(width=16, heads=2, adapter=lambda: SavedAdapter(str(tmp_path)))
    with pytest.raises(ValueError, match=r"belongs to another language model: 28 tensors differ, .* \(16, 88\) here"):
        TinyLlama(width=32, heads=2, adapter=lambda: SavedAdapter(str(tmp_path)))
    with pytest.raises(ValueError, match=r"belongs to another language model: 14 tensors differ, .* absent here"):
        TinyLlama(width=16, heads=2, layers=1, adapter=lambda: SavedAdapter(str(tmp_path)))


def not_a_number(folder):
    tensors = load_file(folder / "adapter_model.safetensors")
    next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (not_a_number, r"lora_A.weight has NaN or infinite values"),
        (
            lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"none"),
            "adapter_model.safetensors can",
        ),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter in .* cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "adapter in .* cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "X"}'), "adapter in .* cannot be"),
    ],
)
def test_an_adapter_that_is_damaged(tmp_path, damage, message):
    TinyLlama(width=16, heads=2, adapter=LoRA).save_adapter(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=rf"adapter\.init_args\.folder: .*{message}") as caught:
        TinyLlama(width=16, heads=2, adapter=lambda: SavedAdapter(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(ValueError, match=r"has no adapter_config\.json and no adapter_model\.safetensors"):
        SavedAdapter(str(tmp_path))


def test_saving_without_an_adapter(tmp_path):
    with pytest.raises(ValueError, match=r"no adapter to save .* NoAdapter"):
        TinyLlama(width=16, heads=2).save_adapter(tmp_path)

"""Language models from folders and by name: the same model again, or one clear error."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from components.language_models import PretrainedCausalLM, ShortPrompt
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from tests.components.small_language_model import generation_inputs, small_llama, training_inputs, visual_tokens
from tests.components.tiny_networks import save_tiny_network


def test_pretrained_folder_gives_the_same_model(saved_llama):
    model, visual = small_llama(), visual_tokens()
    loaded = PretrainedCausalLM(str(saved_llama), prompt=ShortPrompt).eval()
    assert (loaded.width, loaded.max_length) == (model.width, model.max_length)
    for inputs in (training_inputs, generation_inputs):
        ours, theirs = inputs(model, [0, 1, 2], visual), inputs(loaded, [0, 1, 2], visual)
        assert torch.equal(ours[0], theirs[0])
    embeddings, plan = training_inputs(model, [0, 1, 2], visual)
    assert torch.equal(loaded(embeddings, plan).logits, model(embeddings, plan).logits)
    assert PretrainedCausalLM(str(saved_llama), dtype="bfloat16").embed(plan.input_ids).dtype is torch.bfloat16


def test_sampling_settings_of_a_checkpoint_are_not_used(saved_llama, caplog):
    model, visual = small_llama(), visual_tokens()
    (saved_llama / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.9, "top_p": 0.6}')
    loaded = PretrainedCausalLM(str(saved_llama), prompt=ShortPrompt).eval()
    caplog.clear()
    answers = [m.generate(*generation_inputs(m, [0, 1], visual), max_new_tokens=6) for m in (loaded, model)]
    assert torch.equal(*answers)
    assert not caplog.records


def test_files_that_were_looked_for_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"needs config\.json, weights \(model\.safetensors.*The folder has no files"):
        PretrainedCausalLM(str(tmp_path))
    build_tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"The folder has tokenizer\.json, tokenizer_config\.json"):
        PretrainedCausalLM(str(tmp_path))


def test_weights_that_are_not_there_are_not_made_up(saved_llama):
    tensors = load_file(saved_llama / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, saved_llama / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of a Llama.*, such as model\.layers\.1\.mlp\.up_proj"):
        PretrainedCausalLM(str(saved_llama))


def test_code_that_comes_with_a_model_is_not_run(saved_llama):
    config = json.loads((saved_llama / "config.json").read_text())
    code = {"AutoConfig": "trap.TrapConfig", "AutoModelForCausalLM": "trap.Trap"}
    (saved_llama / "config.json").write_text(json.dumps(config | {"model_type": "trap", "auto_map": code}))
    (saved_llama / "trap.py").write_text(f"open({str(saved_llama / 'sprung')!r}, 'w')")
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(str(saved_llama))
    assert not (saved_llama / "sprung").exists()


def test_weight_files_are_read_as_tensors_only(saved_llama):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(saved_llama / "sprung"),)

    (saved_llama / "model.safetensors").unlink()
    torch.save(small_llama().network.state_dict(), saved_llama / "pytorch_model.bin")
    assert PretrainedCausalLM(str(saved_llama), prompt=ShortPrompt)
    torch.save({"model.norm.weight": Trap()}, saved_llama / "pytorch_model.bin")
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(str(saved_llama))
    assert not (saved_llama / "sprung").exists()


def test_attention_that_is_unknown(saved_llama):
    with pytest.raises(ValueError, match=r"attention: unknown 'fused'; known: auto, sdpa, eager, flash_attention_2"):
        PretrainedCausalLM(str(saved_llama), attention="fused")


@pytest.mark.parametrize("there", [True, False])
def test_flash_attention_that_cannot_be_used(monkeypatch, saved_llama, there):
    monkeypatch.setattr("components.language_models.pretrained_causal_lm.is_flash_attn_2_available", lambda: there)
    message = r"dtype bfloat16, not float32" if there else r"`pip install flash-attn .*or set it to sdpa"
    with pytest.raises(ValueError, match=message):
        PretrainedCausalLM(str(saved_llama), attention="flash_attention_2")


@pytest.mark.parametrize("name", ["{folder}/absent", "{folder}", "not a model name"])
def test_absent_model_is_named(name, tmp_path):
    name = name.format(folder=tmp_path)
    with pytest.raises(ValueError, match=r"could not be loaded.*language_model\.init_args\.name_or_path") as error:
        PretrainedCausalLM(name)
    assert repr(name) in str(error.value)


def test_tokenizer_larger_than_the_model_is_refused(tmp_path):
    LlamaForCausalLM(
        LlamaConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    build_tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"tokens, but its network has embeddings for 10"):
        PretrainedCausalLM(str(tmp_path))


@pytest.mark.parametrize(
    ("scaling", "longest"),
    [({"type": "linear", "factor": 4.0}, 128), ({"rope_type": "dynamic", "factor": 2.0}, 64), (None, 32)],
)
def test_scaled_positions_make_sequences_longer(tmp_path, scaling, longest):
    folder = Path(save_tiny_network("llama", tmp_path, max_length=32))
    config = json.loads((folder / "config.json").read_text())
    config.pop("rope_parameters")
    (folder / "config.json").write_text(json.dumps(config | {"rope_scaling": scaling}))
    assert PretrainedCausalLM(str(folder)).max_length == longest

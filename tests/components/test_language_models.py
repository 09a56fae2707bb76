"""Language models: loss, greedy generation, pretrained folders, and how YAML names them."""

import json
import os
import warnings

import jsonargparse
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import components.language_models as family
from components.language_models import (
    ChatTemplate,
    LanguageModel,
    PretrainedCausalLM,
    ShortPrompt,
    TinyLlama,
    VicunaV1,
    VideoPandaV1,
)
from components.splice import IGNORED_LABEL, PaddingSide, plan_splice, splice

TURNS = [
    [("What colour is the circle?", "It is red.")],
    [("Which way?", "Left."), ("How fast does it move to the left of the square?", "Slowly.")],
    [("Is it a dog?", "No, it is a cat on a table.")],
]
COUNTS = [7, 2, 12]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return sharpened(TinyLlama(width=32, layers=2, heads=2, max_length=128))


@pytest.fixture(scope="module")
def absolute_model(model):
    """A network that, unlike a Llama, learns a vector for every absolute position."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(model.text.tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=128, tie_word_embeddings=False
    )
    return sharpened(LanguageModel(GPT2LMHeadModel(config), model.text))


@torch.no_grad()
def sharpened(model):
    """Fresh weights are so small that what a token attends to would hardly show."""
    for weight in model.parameters():
        weight.mul_(5 if weight.ndim > 1 else 1)
    return model.eval()


def training_inputs(model, samples, visual, side=PaddingSide.RIGHT):
    encoded = [model.text.encode(TURNS[i]) for i in samples]
    plan = plan_splice(
        [text.input_ids for text in encoded],
        [COUNTS[i] for i in samples],
        [text.labels for text in encoded],
        padding_side=side,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), torch.cat([visual[i] for i in samples]), plan), plan


def generation_inputs(model, samples, visual):
    plan = plan_splice(
        [model.text.encode_question(TURNS[i][:-1], TURNS[i][-1][0]) for i in samples],
        [COUNTS[i] for i in samples],
        None,
        padding_side=PaddingSide.LEFT,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), torch.cat([visual[i] for i in samples]), plan), plan


@pytest.fixture
def visual():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, 32, generator=generator) for count in COUNTS]


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
    states = absolute_model(embeddings, plan, hidden_layers=(1, -1)).hidden_states
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(states, expected[1:], strict=True))


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


def save(model, folder):
    model.network.save_pretrained(folder)
    model.text.tokenizer.save_pretrained(folder)


def test_pretrained_folder_gives_the_same_model(model, visual, tmp_path):
    save(model, tmp_path)
    loaded = PretrainedCausalLM(str(tmp_path), prompt=ShortPrompt).eval()
    assert (loaded.width, loaded.max_length) == (model.width, model.max_length)
    for inputs in (training_inputs, generation_inputs):
        ours, theirs = inputs(model, [0, 1, 2], visual), inputs(loaded, [0, 1, 2], visual)
        assert torch.equal(ours[0], theirs[0])
    embeddings, plan = training_inputs(model, [0, 1, 2], visual)
    assert torch.equal(loaded(embeddings, plan).logits, model(embeddings, plan).logits)
    assert PretrainedCausalLM(str(tmp_path), dtype="bfloat16").embed(plan.input_ids).dtype is torch.bfloat16


def test_sampling_settings_of_a_checkpoint_are_not_used(model, visual, tmp_path, caplog):
    save(model, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.9, "top_p": 0.6}')
    loaded = PretrainedCausalLM(str(tmp_path), prompt=ShortPrompt).eval()
    caplog.clear()
    answers = [m.generate(*generation_inputs(m, [0, 1], visual), max_new_tokens=6) for m in (loaded, model)]
    assert torch.equal(*answers)
    assert not caplog.records


def test_files_that_were_looked_for_are_named(model, tmp_path):
    with pytest.raises(ValueError, match=r"needs config\.json, weights \(model\.safetensors.*The folder has no files"):
        PretrainedCausalLM(str(tmp_path))
    model.text.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"The folder has tokenizer\.json, tokenizer_config\.json"):
        PretrainedCausalLM(str(tmp_path))


def test_damaged_weights_are_refused(model, tmp_path):
    save(model, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(str(tmp_path))


def test_weights_that_are_not_there_are_not_made_up(model, tmp_path):
    save(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of a Llama.*, such as model\.layers\.1\.mlp\.up_proj"):
        PretrainedCausalLM(str(tmp_path))


def test_code_that_comes_with_a_model_is_not_run(model, tmp_path):
    save(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    code = {"AutoConfig": "trap.TrapConfig", "AutoModelForCausalLM": "trap.Trap"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "trap", "auto_map": code}))
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_weight_files_are_read_as_tensors_only(model, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.network.state_dict(), tmp_path / "pytorch_model.bin")
    assert PretrainedCausalLM(str(tmp_path), prompt=ShortPrompt)
    torch.save({"model.norm.weight": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_attention_that_is_unknown(model, tmp_path):
    save(model, tmp_path)
    with pytest.raises(ValueError, match=r"attention: unknown 'fused'; known: auto, sdpa, eager, flash_attention_2"):
        PretrainedCausalLM(str(tmp_path), attention="fused")


@pytest.mark.parametrize("there", [True, False])
def test_flash_attention_that_cannot_be_used(monkeypatch, model, tmp_path, there):
    monkeypatch.setattr("components.language_models.pretrained.is_flash_attn_2_available", lambda: there)
    save(model, tmp_path)
    said = r"dtype bfloat16, not float32" if there else r"`pip install flash-attn .*or set it to sdpa"
    with pytest.raises(ValueError, match=said):
        PretrainedCausalLM(str(tmp_path), attention="flash_attention_2")


@pytest.mark.parametrize("name", ["{folder}/absent", "{folder}", "not a model name"])
def test_absent_model_is_named(name, tmp_path):
    name = name.format(folder=tmp_path)
    with pytest.raises(ValueError, match=r"could not be loaded.*language_model\.init_args\.name_or_path") as error:
        PretrainedCausalLM(name)
    assert repr(name) in str(error.value)


def test_model_that_cannot_be_downloaded_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = r"'somebody/absent-model' could not be loaded.*local cache.*`hf download somebody/absent-model --local-dir"
    with pytest.raises(ValueError, match=said):
        PretrainedCausalLM("somebody/absent-model")


def test_tokenizer_larger_than_the_model_is_refused(model, tmp_path):
    LlamaForCausalLM(
        LlamaConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    model.text.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"tokens, but its network has embeddings for 10"):
        PretrainedCausalLM(str(tmp_path))


@pytest.fixture
def parser():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LanguageModel, "language_model")
    parser.add_argument("--config", action="config")
    return parser


def built(parser, *arguments):
    return parser.instantiate(parser.parse_args(list(arguments))).language_model


def test_flags_choose_a_language_model(parser):
    model = built(parser, "--language_model=TinyLlama", "--language_model.width=32")
    assert isinstance(model, TinyLlama)
    assert model.width == 32
    assert isinstance(model.text.prompt, ShortPrompt)
    model = built(parser, "--language_model=TinyLlama", "--language_model.prompt=VicunaV1")
    assert isinstance(model.text.prompt, VicunaV1)


@pytest.mark.parametrize("prompt", [VideoPandaV1, ChatTemplate])
def test_another_format_does_not_take_over_the_system_text_of_the_default(model, tmp_path, parser, prompt):
    save(model, tmp_path)
    chosen = ["--language_model=PretrainedCausalLM", f"--language_model.prompt={prompt.__name__}"]
    arguments = parser.parse_args([*chosen, f"--language_model.name_or_path={tmp_path}"])
    assert arguments.language_model.init_args.prompt.init_args.system is None
    assert "curious human" in VideoPandaV1().opening
    assert "curious user" in VicunaV1().opening


def test_yaml_sets_the_system_text(parser, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "language_model:\n  class_path: TinyLlama\n  init_args:\n    prompt:\n      class_path: VicunaV1\n"
        "      init_args: {system: Be brief.}\n"
    )
    assert built(parser, f"--config={config}").text.prompt.opening == "Be brief. USER: "
    # A saved configuration builds the same again.
    saved = tmp_path / "saved.yaml"
    saved.write_text(parser.dump(parser.parse_args([f"--config={config}"])))
    assert built(parser, f"--config={saved}").text.prompt.opening == "Be brief. USER: "


def test_every_language_model_is_in_the_package():
    names = {cls.__name__ for cls in LanguageModel.__subclasses__() if cls.__module__.startswith("components.")}
    assert names <= set(family.__all__)

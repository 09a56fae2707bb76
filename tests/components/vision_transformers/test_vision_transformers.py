"""Vision transformers against other formulations, and the reading of released weights."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel, LlamaConfig

from components.encoders import CLIPFrames, LanguageBindVideo
from components.groups import Groups
from components.vision_transformers import CLIPViT, LanguageBindViT, PretrainedCLIP, PretrainedLanguageBind
from tests.components.clip_folder import save_clip
from tests.components.languagebind_folder import HEADS, SIZES, languagebind_weights, save_languagebind

NAMES = {"width": 32, "patch_size": 2}
COUNTS = (8, 3, 1)


@pytest.fixture(scope="module")
def frames():
    return torch.randn(sum(COUNTS), 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def groups():
    return Groups.of_sizes(torch.tensor(COUNTS))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """The vision half alone, as transformers saves it."""
    folder = tmp_path_factory.mktemp("clip")
    return save_clip(folder, **SIZES)


@pytest.fixture
def whole_clip_folder(tmp_path):
    """Both halves, with the names of the release."""
    torch.manual_seed(0)
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    text |= {"bos_token_id": 0, "eos_token_id": 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config=SIZES)).save_pretrained(tmp_path)
    return tmp_path


def attend(weights, prefix, tokens):
    """CLIP's attention within one sequence (tokens, C), head by head."""
    query, key, value = (
        (tokens @ weights[f"{prefix}.{name}_proj.weight"].T + weights[f"{prefix}.{name}_proj.bias"]).chunk(HEADS, -1)
        for name in "qkv"
    )
    scale = (tokens.shape[-1] // HEADS) ** -0.5
    mixed = [(q @ k.T * scale).softmax(-1) @ v for q, k, v in zip(query, key, value, strict=True)]
    return torch.cat(mixed, -1) @ weights[f"{prefix}.out_proj.weight"].T + weights[f"{prefix}.out_proj.bias"]


def norm(weights, prefix, tokens):
    return F.layer_norm(tokens, (32,), weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])


def languagebind_by_loops(weights, clip, layers):
    """Hidden state of one clip (T, tokens, C), written out from the official names: loops over places and frames."""
    w = {key.removeprefix("vision_model."): tensor for key, tensor in weights.items()}
    patches = F.conv2d(clip, w["embeddings.patch_embedding.weight"], stride=2).flatten(2).mT
    first = w["embeddings.class_embedding"].expand(len(clip), 1, -1)
    tokens = torch.cat([first, patches], 1) + w["embeddings.position_embedding.weight"]
    tokens = norm(w, "pre_layrnorm", tokens)
    for layer in range(layers):
        at = f"encoder.layers.{layer}"
        tokens = tokens + w[f"{at}.temporal_embedding"][0, : len(clip), None]
        normed = norm(w, f"{at}.temporal_layer_norm1", tokens)
        in_time = [attend(w, f"{at}.temporal_attn", normed[:, place]) for place in range(tokens.shape[1])]
        tokens = tokens + torch.stack(in_time, 1)
        normed = norm(w, f"{at}.layer_norm1", tokens)
        tokens = tokens + torch.stack([attend(w, f"{at}.self_attn", frame) for frame in normed])
        hidden = F.linear(norm(w, f"{at}.layer_norm2", tokens), w[f"{at}.mlp.fc1.weight"], w[f"{at}.mlp.fc1.bias"])
        tokens = tokens + F.linear(F.gelu(hidden), w[f"{at}.mlp.fc2.weight"], w[f"{at}.mlp.fc2.bias"])
    return tokens


@pytest.mark.parametrize("layer", [-1, -2, 1, 3])
def test_clip_gives_the_hidden_states_of_transformers(clip_folder, frames, groups, layer):
    theirs = CLIPVisionModel.from_pretrained(clip_folder).eval()
    tower = PretrainedCLIP(**NAMES, name_or_path=str(clip_folder), output_layer=layer)
    with torch.no_grad():
        expected = theirs(frames, output_hidden_states=True).hidden_states[layer]
        difference = float((tower(frames, groups) - expected).abs().max())
    print(f"\nlayer {layer}: {difference:.1e}")
    assert difference < 1e-5


def test_the_vision_half_is_read_from_a_whole_clip(whole_clip_folder, frames, groups):
    theirs = CLIPModel.from_pretrained(whole_clip_folder).eval().vision_model
    tower = PretrainedCLIP(**NAMES, name_or_path=str(whole_clip_folder))
    with torch.no_grad():
        expected = theirs(frames, output_hidden_states=True).hidden_states[-2]
        torch.testing.assert_close(tower(frames, groups), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", [-1, -2])
def test_languagebind_gives_what_its_formulas_say(tmp_path, frames, groups, layer):
    weights = languagebind_weights()
    tower = PretrainedLanguageBind(**NAMES, name_or_path=str(save_languagebind(tmp_path, weights)), output_layer=layer)
    with torch.no_grad():
        computed = tower(frames, groups)
        expected = [languagebind_by_loops(weights, clip, 4 + layer) for clip in frames.split(COUNTS)]
    scale = computed.abs().max()
    difference = float((computed - torch.cat(expected)).abs().max() / scale)
    print(f"\nlayer {layer}: {difference:.1e} of {scale:.1f}")
    assert difference < 1e-5


def test_languagebind_without_time_is_clip(clip_folder, frames, groups, tmp_path):
    weights = languagebind_weights()
    for key, tensor in load_file(clip_folder / "model.safetensors").items():
        weights[f"vision_model.{key}"] = tensor
    for key in weights:
        if "temporal_embedding" in key or "temporal_attn.out_proj" in key:
            weights[key] = torch.zeros_like(weights[key])
    folder = save_languagebind(tmp_path, weights, hidden_act="quick_gelu")
    in_time = PretrainedLanguageBind(**NAMES, name_or_path=str(folder))
    plain = PretrainedCLIP(**NAMES, name_or_path=str(clip_folder))
    with torch.no_grad():
        torch.testing.assert_close(in_time(frames, groups), plain(frames, groups), atol=1e-5, rtol=0)


def test_weights_of_a_pickle_file_are_read_as_tensors(tmp_path, frames, groups):
    weights = languagebind_weights()
    (tmp_path / "safe").mkdir()
    (tmp_path / "bin").mkdir()
    safe, pickled = save_languagebind(tmp_path / "safe", weights), save_languagebind(tmp_path / "bin", weights)
    (pickled / "model.safetensors").unlink()
    torch.save(weights, pickled / "pytorch_model.bin")
    towers = [PretrainedLanguageBind(**NAMES, name_or_path=str(folder)) for folder in (safe, pickled)]
    assert torch.equal(*(tower(frames, groups) for tower in towers))


class NotATensor:
    """What must never be run or built when weights are read."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pre_layrnorm.weight": NotATensor()}, "it holds .*NotATensor, which is no tensor and was not run"),
        ({"state": {}}, "does not hold tensors by name"),
        ([torch.ones(2)], "does not hold tensors by name"),
    ],
)
def test_a_pickle_file_of_other_things_is_refused(tmp_path, content, message):
    folder = save_languagebind(tmp_path, {})
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=rf"pytorch_model.bin .*{message}"):
        PretrainedLanguageBind(**NAMES, name_or_path=str(folder))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused(tmp_path, missing):
    folder = save_languagebind(tmp_path, languagebind_weights())
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=f"has no {missing}.* init_args.name_or_path of the tower must be a folder"):
        PretrainedLanguageBind(**NAMES, name_or_path=str(folder))


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere' has no config\.json"):
        PretrainedCLIP(**NAMES, name_or_path=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "does not describe"),
        ("[]", "does not describe"),
        (LlamaConfig(hidden_size=32).to_json_string(use_diff=False), "model_type is 'llama', known are clip"),
        (json.dumps({"model_type": "clip", "vision_config": 3}), "does not describe"),
        (json.dumps({"model_type": "clip", "vision_config": SIZES | {"hidden_size": "wide"}}), "hidden_size is 'wide'"),
        (json.dumps({"model_type": "clip", "vision_config": SIZES | {"intermediate_size": 99}}), "only 128 is supp"),
        (json.dumps({"model_type": "clip", "vision_config": SIZES | {"hidden_act": "magic"}}), "hidden_act is 'magic'"),
        (json.dumps({"model_type": "clip"} | {"vision_config": SIZES | {"hidden_size": 64, "intermediate_size": 256}}),
         r"a width of 64, not 32 \(init_args.width of the encoder\)"),
        (json.dumps({"model_type": "clip", "vision_config": SIZES | {"patch_size": 4}}), "a patch_size of 4, not 2"),
    ],
)  # fmt: skip
def test_a_config_of_something_else_is_refused(tmp_path, config, message):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        PretrainedCLIP(**NAMES, name_or_path=str(tmp_path))


def test_weights_that_do_not_fit_are_listed(tmp_path):
    weights = languagebind_weights()
    del weights["vision_model.pre_layrnorm.bias"]
    del weights["vision_model.encoder.layers.1.temporal_attn.k_proj.weight"]
    weights["vision_model.encoder.layers.0.surprise.weight"] = torch.zeros(1)
    weights["vision_model.encoder.layers.3.layer_norm1.weight"] = torch.zeros(32)  # behind the last layer there is
    weights["vision_model.embeddings.position_embedding.weight"] = torch.zeros(5, 32)
    folder = save_languagebind(tmp_path, weights)
    with pytest.raises(ValueError, match="do not fit a PretrainedLanguageBind") as raised:
        PretrainedLanguageBind(**NAMES, name_or_path=str(folder))
    message = str(raised.value)
    assert (
        "2 unknown keys: " in message
        and "layers.0.surprise.weight" in message
        and "layers.3.layer_norm1.weight" in message
    )
    assert "2 parameters without a key: norm.bias, temporal.1.attention.key.weight" in message
    assert "1 of another shape: vision_model.embeddings.position_embedding.weight of shape [5, 32]" in message


def test_each_family_refuses_the_weights_of_the_other(tmp_path, clip_folder):
    folder = save_languagebind(tmp_path, languagebind_weights())
    with pytest.raises(ValueError, match=r"22 unknown keys: .*temporal_.*\.\.\."):
        PretrainedCLIP(**NAMES, name_or_path=str(folder))
    with pytest.raises(ValueError, match=r"22 parameters without a key: temporal\."):
        PretrainedLanguageBind(**NAMES, name_or_path=str(clip_folder))


@pytest.mark.parametrize(
    ("build", "sizes", "message"),
    [
        (CLIPViT, {"width": 0}, "width: 0 is not at least 1"),
        (CLIPViT, {"layers": 0}, "layers: 0 is not at least 1"),
        (CLIPViT, {"heads": 3}, "heads: 3 does not divide the width 32"),
        (CLIPViT, {"image_size": 9}, "image_size: 9 is not a multiple of patches of 2"),
        (CLIPViT, {"output_layer": 0}, "output_layer: 0 is none of 2 layers"),
        (CLIPViT, {"output_layer": -3}, "output_layer: -3 is none of 2 layers"),
        (CLIPViT, {"output_layer": 3}, "must be 1..2 or -2..-1"),
        (LanguageBindViT, {"frames": 0}, "frames: 0 is not at least 1"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(build, sizes, message):
    with pytest.raises(ValueError, match=message):
        build(**({"width": 32, "patch_size": 2, "image_size": 8, "layers": 2, "heads": 4} | sizes))


def test_encoders_take_any_tower(clip_folder, frames, groups):
    read = {"name_or_path": str(clip_folder)}
    pooled = CLIPFrames(32, 2, tower=lambda width, patch: PretrainedCLIP(width, patch, **read))
    patches = LanguageBindVideo(32, 2, tower=lambda width, patch: PretrainedCLIP(width, patch, **read))
    for encoder in (pooled, patches):
        assert (encoder.width, encoder.patch_size, encoder.canvas) == (32, 2, 8)
        torch.testing.assert_close(encoder.tower(frames, groups), PretrainedCLIP(**NAMES, **read)(frames, groups))


@pytest.mark.parametrize("layer", [-1, -2])
def test_an_exported_tower_is_the_same_to_the_bit(clip_folder, tmp_path, frames, groups, layer):
    (tmp_path / "languagebind").mkdir()
    languagebind = save_languagebind(tmp_path / "languagebind", languagebind_weights())
    for kind, folder in ((PretrainedCLIP, clip_folder), (PretrainedLanguageBind, languagebind)):
        tower = kind(**NAMES, name_or_path=str(folder), output_layer=layer)
        tower.export(tmp_path / kind.__name__)
        again = kind(**NAMES, name_or_path=str(tmp_path / kind.__name__), output_layer=layer)
        assert torch.equal(again(frames, groups), tower(frames, groups))
        theirs, ours = (load_file(path / "model.safetensors") for path in (folder, tmp_path / kind.__name__))
        vision = {key.removeprefix("vision_model."): tensor for key, tensor in theirs.items()}
        for key, tensor in ours.items():
            assert torch.equal(tensor, vision[key.removeprefix("vision_model.")]), key

"""Released Video-LLaVA and Video-ChatGPT, by their official keys: imported, they give the official tokens, and run."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from components.encoders import CLIPFrames, LanguageBindVideo
from components.language_models import VideoChatGPTV1
from components.language_models.prompt import Clip, Special, Text
from components.official.baselines import import_video_chatgpt, import_video_llava
from components.projectors import LinearProjector, MLPProjector
from components.vision_transformers import PretrainedCLIP, PretrainedLanguageBind
from lightning_modules.cli import main
from tests.baselines_formula import FORMULA, KEYS, arrays, normal, weights
from tests.components.encoders.test_baselines_golden import (
    CLOSE,
    IMAGE,
    LLM,
    PATCH,
    WIDTH,
    clip_folder,
    full,
    languagebind_folder,
)
from tests.components.tiny_networks import tiny_network

SIZES = (f"--model.encoder.width={WIDTH}", f"--model.encoder.patch_size={PATCH}", f"--data.canvas={IMAGE}",
         "--trainer.limit_val_batches=1", "--model.max_new_tokens=2")  # fmt: skip


def language_model(width, folder):
    """The tensors and config.json of a small Llama, whose tokenizer is put into the folder."""
    from components.language_models.tiny_causal_lm import build_tiny_tokenizer

    network, tokenizer = tiny_network("llama", width=width, max_length=4096), build_tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    rows = len(tokenizer)
    network.resize_token_embeddings(rows)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}, network.config.to_dict()


def save(folder, tensors, config):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, default=str))


@pytest.fixture
def video_llava(tmp_path):
    """A folder like the release: towers for videos and images, projector, language model."""
    source, tower = tmp_path / "video_llava", tmp_path / "languagebind"
    source.mkdir()
    tower.mkdir()
    zeros = {key: torch.zeros_like(tensor) for key, tensor in weights("languagebind").items()}
    languagebind_folder(tower, "languagebind", 8, more=zeros)  # so that it is seen whose weights are taken
    tensors, config = language_model(LLM, source)
    tensors |= {
        f"model.video_tower.video_tower.{key.removeprefix('vision_model.')}": tensor
        for key, tensor in weights("languagebind").items()
    }
    tensors |= {f"model.mm_projector.{key}": tensor for key, tensor in weights("languagebind_projector").items()}
    tensors |= {
        f"model.image_tower.image_tower.{key.removeprefix('vision_model.')}": tensor
        for key, tensor in weights("languagebind_image").items()
    }
    config |= {"model_type": "llava", "mm_video_tower": str(tower), "mm_projector_type": "mlp2x_gelu"}
    save(source, tensors, config)
    return source


@torch.no_grad()
def test_video_llava(video_llava, tmp_path, run, capsys):
    out = tmp_path / "ours"
    main(["import-video-llava", str(video_llava), "--out", str(out)])
    output = capsys.readouterr().out
    assert (
        "projector: 4 tensors" in output and f"not used here: {len(KEYS['languagebind_image']) + 2} tensors" in output
    )
    name = str(tmp_path / "languagebind")
    encoder = LanguageBindVideo(
        WIDTH,
        PATCH,
        tower=lambda width, patch: PretrainedLanguageBind(width, patch, name, stored_layers=FORMULA["layers"]),
    )
    parts = torch.nn.ModuleDict({"encoder": encoder, "projector": MLPProjector(WIDTH, LLM)}).eval()
    parts.load_state_dict(load_file(out / "weights.safetensors"))
    layout = encoder.layout(full(1, 8))
    pixels = normal("languagebind/one/pixels", (1, 8, 3, IMAGE, IMAGE))[0]
    tokens = parts["projector"](encoder(pixels, layout))[layout.order]
    torch.testing.assert_close(tokens, arrays("languagebind")["one/projected"].flatten(0, 2), **CLOSE)

    cli = run("validate", "--config=experiments/video_llava.yaml", f"--config={out / 'config.yaml'}", *SIZES)
    stored = load_file(out / "weights.safetensors")
    ours = cli.model.state_dict()
    assert stored and all(torch.equal(ours[name], tensor) for name, tensor in stored.items())


@pytest.fixture
def video_chatgpt(tmp_path):
    """A LLaVA, and the file that makes a Video-ChatGPT of it."""
    source = tmp_path / "llava"
    source.mkdir()
    tensors, config = language_model(LLM, source)
    tensors |= {"model.mm_projector.weight": torch.zeros(LLM, WIDTH), "model.mm_projector.bias": torch.zeros(LLM)}
    tower = tmp_path / "clip"
    tower.mkdir()
    save(source, tensors, config | {"model_type": "llava", "mm_vision_tower": clip_folder(tower)})
    rows = len(tensors["model.embed_tokens.weight"]) + 3
    released = {f"model.{key}": tensor for key, tensor in weights("video_chatgpt").items()}
    torch.save(released | {"model.embed_tokens.weight": torch.randn(rows, LLM)}, tmp_path / "video_chatgpt.bin")
    return source, tmp_path / "video_chatgpt.bin"


@torch.no_grad()
def test_video_chatgpt(video_chatgpt, tmp_path, run):
    source, projection = video_chatgpt
    out = tmp_path / "ours"
    main(["import-video-chatgpt", str(source), "--projection", str(projection), "--out", str(out)])
    name = str(tmp_path / "clip")
    encoder = CLIPFrames(WIDTH, PATCH, tower=lambda width, patch: PretrainedCLIP(width, patch, name), fill_up_to=100)
    projector = LinearProjector(WIDTH, LLM)
    stored = {key.removeprefix("projector."): tensor for key, tensor in load_file(out / "weights.safetensors").items()}
    projector.load_state_dict(stored)
    frames = FORMULA["vcg_frames"]["short"]
    layout = encoder.layout(full(1, frames))
    pixels = normal("video_chatgpt/short/pixels", (frames, 3, IMAGE, IMAGE))
    tokens = projector(encoder.eval()(pixels, layout))[layout.order]
    torch.testing.assert_close(tokens, arrays("video_chatgpt")["short/projected"], **CLOSE)

    cli = run("validate", "--config=experiments/video_chatgpt.yaml", f"--config={out / 'config.yaml'}", *SIZES)
    embedding = cli.model.language_model.network.get_input_embeddings().weight
    assert torch.equal(embedding, torch.load(projection, weights_only=True)["model.embed_tokens.weight"])


def test_the_clip_comes_behind_the_question(video_chatgpt, tmp_path):
    source, projection = video_chatgpt
    import_video_chatgpt(source, projection, tmp_path / "ours")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ours" / "language_model")
    pieces = VideoChatGPTV1("S").pieces(tokenizer, [("What?", "A cat."), ("And?", None)], with_clip=True)
    start, end = tokenizer.convert_tokens_to_ids(["<vid_start>", "<vid_end>"])
    place = pieces.index(Clip())
    before, after = pieces[place - 2 : place], pieces[place + 1 : place + 3]
    assert before == [Text("S USER: What?\n"), Special(start)] and after == [Special(end), Text(" ASSISTANT:")]
    assert pieces[-1] == Text("USER: And? ASSISTANT:") and Text(" A cat.", learnt=True) in pieces
    plain = AutoTokenizer.from_pretrained(source)
    with pytest.raises(ValueError, match=r"the tokenizer has no <vid_start>, .* import-video-chatgpt"):
        VideoChatGPTV1().pieces(plain, [("What?", None)], with_clip=True)
    assert VideoChatGPTV1().pieces(plain, [("What?", None)], with_clip=False)


def test_what_is_not_one_is_refused(video_llava, video_chatgpt, tmp_path):
    source, projection = video_chatgpt
    with pytest.raises(ValueError, match=r"config\.json is of another family \(model_type 'llava'\): a Video-LLaVA"):
        import_video_llava(source, tmp_path / "ours")
    with pytest.raises(ValueError, match=r"holds \d+ keys that are not explained: model\.image_tower"):
        import_video_chatgpt(video_llava, projection, tmp_path / "ours")
    content = torch.load(projection, weights_only=True)
    torch.save({key: tensor[:-1] if "embed" in key else tensor for key, tensor in content.items()}, projection)
    with pytest.raises(ValueError, match=r"embed_tokens.weight has shape .* the 3 tokens for clips ask for"):
        import_video_chatgpt(source, projection, tmp_path / "ours")
    del content["model.mm_projector.bias"]
    torch.save(content, projection)
    with pytest.raises(ValueError, match=r"video_chatgpt\.bin has no model\.mm_projector\.bias"):
        import_video_chatgpt(source, projection, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()

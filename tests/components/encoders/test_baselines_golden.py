"""The baselines and the teachers against numbers of their official code, from its checkpoints to the tokens."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.encoders import EVE, CLIPFrames, LanguageBindVideo
from components.encoders.video_encoder import VideoShapes
from components.groups import Groups
from components.official.eve import import_eve
from components.official.names import our_names
from components.projectors import LinearProjector, MLPProjector
from components.splice import PLACEHOLDER, PaddingSide, plan_splice, splice
from components.teachers import InternVideo2Teacher, LanguageBindTeacher
from components.teachers import internvideo2_teacher as internvideo2_file
from components.vision_transformers import PretrainedCLIP, PretrainedLanguageBind
from tests.baselines_formula import FACTS, FORMULA, KEYS, arrays, normal, weights

CLOSE = {"atol": 3e-5, "rtol": 0}
WIDTH, PATCH, IMAGE, LLM = (FORMULA[name] for name in ("width", "patch", "image", "llm"))
SIDE = IMAGE // PATCH
VISION = {
    "hidden_size": WIDTH,
    "num_attention_heads": FORMULA["heads"],
    "num_hidden_layers": FORMULA["layers"],
    "intermediate_size": FORMULA["mlp"],
    "image_size": IMAGE,
    "patch_size": PATCH,
}
LANGUAGEBIND, VIDEO_CHATGPT, EVES = arrays("languagebind"), arrays("video_chatgpt"), arrays("eve")
TEACHER, INTERNVIDEO2 = arrays("teacher"), arrays("internvideo2")


def full(clips, frames):
    """Clips that fill their canvas."""
    rectangles = torch.tensor([0, 0, SIDE, SIDE]).expand(clips * frames, 4)
    return VideoShapes(torch.full((clips,), frames), rectangles, (SIDE, SIDE))


def languagebind_folder(folder, group, frames, activation="gelu", more=()):
    vision = VISION | {"hidden_act": activation, "add_time_attn": True, "num_frames": frames}
    (folder / "config.json").write_text(json.dumps({"model_type": "LanguageBindVideo", "vision_config": vision}))
    # A release holds the text half too.
    save_file(weights(group) | {"logit_scale": torch.tensor(1.0)} | dict(more), folder / "model.safetensors")
    return str(folder)


def clip_folder(folder):
    (folder / "config.json").write_text(
        json.dumps({"model_type": "clip_vision_model", **VISION, "hidden_act": "quick_gelu"})
    )
    save_file(weights("clip"), folder / "model.safetensors")
    return str(folder)


def projected(projector, group, tokens, prefix=""):
    """Give a projector its official weights, and let it project."""
    names = {"0.": "layers.0.", "2.": "layers.2.", "mm_projector.": "linear."}
    official = {key: tensor for key, tensor in weights(group).items() if not key.startswith("embed_tokens")}
    projector.load_state_dict(
        {
            ours + key.removeprefix(theirs): tensor
            for key, tensor in official.items()
            for theirs, ours in names.items()
            if key.startswith(theirs)
        }
    )
    return projector(tokens)


@pytest.mark.parametrize("case", FORMULA["lb_cases"])
@torch.no_grad()
def test_video_llava_s_encoder(tmp_path, case):
    facts = FORMULA["lb_cases"][case]
    clips, frames = facts["batch"], facts["frames"]
    group = "languagebind" if f"languagebind_{case}" not in KEYS else f"languagebind_{case}"
    name = languagebind_folder(tmp_path, group, frames, facts["act"])
    encoder = LanguageBindVideo(WIDTH, PATCH, tower=lambda width, patch: PretrainedLanguageBind(width, patch, name))
    pixels = normal(f"languagebind/{case}/pixels", (clips, frames, 3, IMAGE, IMAGE)).flatten(0, 1)
    layout = encoder.layout(full(clips, frames))
    features = encoder.eval()(pixels, layout)
    tokens = features.index_select(0, layout.order)
    expected = LANGUAGEBIND[f"{case}/tower"].flatten(0, 2)
    assert layout.token_counts == (frames * (1 + SIDE**2),) * clips
    torch.testing.assert_close(tokens, expected, **CLOSE)
    torch.testing.assert_close(
        projected(MLPProjector(WIDTH, LLM), "languagebind_projector", tokens),
        LANGUAGEBIND[f"{case}/projected"].flatten(0, 2),
        **CLOSE,
    )


@torch.no_grad()
def test_the_hidden_states_of_languagebind(tmp_path):
    name = languagebind_folder(tmp_path, "languagebind", 8)
    pixels, clips = normal("languagebind/one/pixels", (1, 8, 3, IMAGE, IMAGE))[0], Groups.of_sizes(torch.tensor([8]))
    for layer in range(1, FORMULA["layers"] + 1):
        tower = PretrainedLanguageBind(WIDTH, PATCH, name, output_layer=layer).eval()
        torch.testing.assert_close(tower(pixels, clips)[..., ::4], LANGUAGEBIND[f"one/hidden_{layer}_ch4"][0], **CLOSE)
    torch.testing.assert_close(tower.embed(pixels)[..., ::4], LANGUAGEBIND["one/hidden_0_ch4"][0], **CLOSE)


@torch.no_grad()
def test_two_short_clips_in_a_row_are_two_here_and_one_there(tmp_path):
    """The official code joins clips of 4 frames to one of 8; here they are kept apart, and joined by saying so."""
    tower = PretrainedLanguageBind(WIDTH, PATCH, languagebind_folder(tmp_path, "languagebind", 8)).eval()
    pixels = normal("languagebind/joined/pixels", (2, 4, 3, IMAGE, IMAGE)).flatten(0, 1)
    expected = LANGUAGEBIND["joined/tower"].flatten(0, 1)
    torch.testing.assert_close(tower(pixels, Groups.of_sizes(torch.tensor([8]))), expected, **CLOSE)
    assert (tower(pixels, Groups.of_sizes(torch.tensor([4, 4]))) - expected).abs().max() > 1


@torch.no_grad()
def test_the_order_of_video_llava_s_tokens_in_the_text(tmp_path):
    """A video is 8 placeholders in a row there, and one here; the images' tower is not of this project."""
    name = languagebind_folder(tmp_path, "languagebind", 8)
    encoder = LanguageBindVideo(WIDTH, PATCH, tower=lambda width, patch: PretrainedLanguageBind(width, patch, name))
    pixels = torch.cat([normal(f"languagebind/splice/video{number}/pixels", (8, 3, IMAGE, IMAGE)) for number in (0, 1)])
    layout = encoder.layout(full(2, 8))
    tokens = projected(MLPProjector(WIDTH, LLM), "languagebind_projector", encoder.eval()(pixels, layout))
    rows = [collapsed(row) for row in FACTS["splice_rows"][:2]]
    plan = plan_splice(rows, layout.token_counts, None, padding_side=PaddingSide.RIGHT, pad_id=0, max_length=1000)
    embedded = splice(weights("languagebind_llm")["embed_tokens.weight"][plan.input_ids], tokens[layout.order], plan)
    mask = LANGUAGEBIND["splice/right/attention"][:2]
    assert torch.equal(plan.attention_mask.bool(), mask[:, : plan.attention_mask.shape[1]])
    length = embedded.shape[1]
    torch.testing.assert_close(
        embedded.masked_fill(~plan.attention_mask.bool()[..., None], 0),
        LANGUAGEBIND["splice/right/embeds"][:2, :length],
        **CLOSE,
    )


def collapsed(row):
    """Return token ids with one placeholder where there are several in a row."""
    kept = [number for place, number in enumerate(row) if number != PLACEHOLDER or row[place - 1] != PLACEHOLDER]
    return torch.tensor(kept)


@pytest.mark.parametrize("case", FORMULA["vcg_frames"])
@torch.no_grad()
def test_video_chatgpt_s_encoder(tmp_path, case):
    frames, name = FORMULA["vcg_frames"][case], clip_folder(tmp_path)
    pixels = normal(f"video_chatgpt/{case}/pixels", (frames, 3, IMAGE, IMAGE))
    expected = VIDEO_CHATGPT[f"{case}/tokens"]
    for fill_up_to in (100, 0):
        encoder = CLIPFrames(
            WIDTH, PATCH, tower=lambda width, patch: PretrainedCLIP(width, patch, name), fill_up_to=fill_up_to
        )
        layout = encoder.layout(full(1, frames))
        features = encoder.eval()(pixels, layout)
        if not fill_up_to:  # the same without the zeros
            expected = torch.cat([expected[:frames], expected[-(SIDE**2) :]])
        assert layout.token_counts == (len(expected),)
        torch.testing.assert_close(features[layout.order], expected, **CLOSE)
        if fill_up_to:
            tokens = projected(LinearProjector(WIDTH, LLM), "video_chatgpt", features)[layout.order]
            torch.testing.assert_close(tokens, VIDEO_CHATGPT[f"{case}/projected"], **CLOSE)
            half = VIDEO_CHATGPT[f"{case}/tokens_half"].float()
            torch.testing.assert_close(features[layout.order], half, atol=4e-3, rtol=0)


@torch.no_grad()
def test_the_hidden_states_of_clip(tmp_path):
    name, clips = clip_folder(tmp_path), Groups.of_sizes(torch.tensor([1]))
    pixels = normal("video_chatgpt/single/pixels", (1, 3, IMAGE, IMAGE))
    for layer in range(1, FORMULA["layers"] + 1):
        tower = PretrainedCLIP(WIDTH, PATCH, name, output_layer=layer).eval()
        torch.testing.assert_close(tower(pixels, clips), VIDEO_CHATGPT[f"single/hidden_{layer}"], **CLOSE)
    torch.testing.assert_close(tower.embed(pixels), VIDEO_CHATGPT["single/hidden_0"], **CLOSE)


@torch.no_grad()
def test_clips_of_unlike_lengths_are_filled_up_each_by_itself(tmp_path):
    name = clip_folder(tmp_path)
    encoder = CLIPFrames(WIDTH, PATCH, tower=lambda width, patch: PretrainedCLIP(width, patch, name), fill_up_to=100)
    lengths = [FORMULA["vcg_frames"][case] for case in ("single", "short")]
    pixels = torch.cat(
        [
            normal(f"video_chatgpt/{case}/pixels", (FORMULA["vcg_frames"][case], 3, IMAGE, IMAGE))
            for case in ("single", "short")
        ]
    )
    rectangles = torch.tensor([0, 0, SIDE, SIDE]).expand(sum(lengths), 4)
    layout = encoder.layout(VideoShapes(torch.tensor(lengths), rectangles, (SIDE, SIDE)))
    tokens = encoder.eval()(pixels, layout)[layout.order]
    expected = torch.cat([VIDEO_CHATGPT[f"{case}/tokens"] for case in ("single", "short")])
    torch.testing.assert_close(tokens, expected, **CLOSE)


@torch.no_grad()
def test_video_chatgpt_s_splice():
    """Features replace the patch tokens between start and end one to one, as our one placeholder does."""
    group = weights("video_chatgpt_splice")
    features = normal("video_chatgpt/splice/features", (2, 20, 1024))
    tokens = projected(LinearProjector(1024, LLM), "video_chatgpt_splice", features.flatten(0, 1))
    patch = 61
    ids = VIDEO_CHATGPT["splice/ids"]
    rows = [collapsed([PLACEHOLDER if number == patch else number for number in row.tolist()]) for row in ids]
    plan = plan_splice(rows, [20, 20], None, padding_side=PaddingSide.RIGHT, pad_id=0, max_length=100)
    embedded = splice(group["embed_tokens.weight"][plan.input_ids], tokens, plan)
    torch.testing.assert_close(embedded, VIDEO_CHATGPT["splice/embeds"], **CLOSE)


@pytest.fixture(scope="module")
def eve(tmp_path_factory):
    """EVE's encoder and projector, by way of the folder that `import-eve` makes."""
    source = tmp_path_factory.mktemp("eve")
    config = {"model_type": "eve", "mm_hidden_size": WIDTH, "hidden_size": LLM, "num_hidden_layers": 1}
    (source / "config.json").write_text(json.dumps(config))
    tensors = {f"model.vision_tower.{key}": tensor for key, tensor in weights("eve").items()}
    tensors |= {f"model.mm_projector.{key}": tensor for key, tensor in weights("eve_projector").items()}
    save_file(tensors, source / "model.safetensors")
    report = import_eve(source, source / "imported")
    assert not report.unused and len(report.loaded) == len(tensors)
    parts = torch.nn.ModuleDict({"encoder": EVE(WIDTH, PATCH), "projector": MLPProjector(WIDTH, LLM)})
    parts.load_state_dict(load_file(source / "imported" / "weights.safetensors"))
    return parts.eval()


def eve_case(case):
    """Return pixels and shapes of a case: an odd last row or column of patches is dropped, as there."""
    (height, width), boxes = FORMULA["eve_cases"][case]
    pixels = normal(f"eve/{case}/pixels", (len(boxes), 3, height, width))
    # A mask of zeros stands for the first 16 x 16 patches.
    boxes = [box or [0, 16 * PATCH, 0, 16 * PATCH] for box in boxes]
    rectangles = torch.tensor([[y0, x0, y1 - y0, x1 - x0] for y0, y1, x0, x1 in boxes]) // PATCH
    rectangles[:, 2:] -= rectangles[:, 2:] % 2
    frames = torch.ones(len(boxes), dtype=torch.int64)
    return pixels, VideoShapes(frames, rectangles, (height // PATCH, width // PATCH))


@pytest.mark.parametrize("case", FORMULA["eve_cases"])
def test_eve_s_tokens_and_gradients(eve, case):
    pixels, shapes = eve_case(case)
    encoder, projector = eve["encoder"], eve["projector"]
    layout = encoder.layout(shapes)
    features = encoder(pixels, layout)
    tokens = features.index_select(0, layout.order)
    assert layout.token_counts == tuple(EVES[f"{case}/lens"].tolist())
    torch.testing.assert_close(tokens, EVES[f"{case}/identity"], atol=1e-5, rtol=0)
    torch.testing.assert_close(projector(features)[layout.order], EVES[f"{case}/projected"], **CLOSE)

    eve.zero_grad()
    (tokens * normal(f"eve/{case}/R", tokens.shape)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in eve.named_parameters() if parameter.grad is not None}
    assert case in FACTS["eve_grad_norms"]
    for key, norm in FACTS["eve_grad_norms"][case].items():
        (name,) = our_names(key)
        torch.testing.assert_close(gradients[name].norm().item(), norm, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", FORMULA["teacher"])
@torch.no_grad()
def test_languagebind_as_a_teacher(tmp_path, case):
    facts = FORMULA["teacher"][case]
    clips, frames = facts["batch"], facts["frames"]
    teacher = LanguageBindTeacher(languagebind_folder(tmp_path, "languagebind", 8), canvas=IMAGE)
    pixels = normal(f"teacher/{case}/pixels", (clips, frames, 3, IMAGE, IMAGE))
    pixels[:, facts["pad"]] = 0  # frames of padding, which are in view of the others there
    features = teacher.features(pixels.flatten(0, 1), [frames] * clips)
    torch.testing.assert_close(features.flatten(1, 2), TEACHER[f"{case}/features"], **CLOSE)


@pytest.mark.parametrize("case", FORMULA["iv2_cases"])
@torch.no_grad()
def test_internvideo2(tmp_path, monkeypatch, case):
    monkeypatch.setitem(internvideo2_file.HEADS_OF_WIDTH, FORMULA["iv2"]["width"], FORMULA["iv2"]["heads"])
    torch.save(
        {"module": {f"vision_encoder.{key}": tensor for key, tensor in weights("internvideo2").items()}},
        tmp_path / "stage2.pt",
    )
    facts = FORMULA["iv2_cases"][case]
    clips, frames, side = facts["batch"], facts["frames"], facts["image"]
    pixels = normal(f"internvideo2/{case}/pixels", (clips, frames, 3, side, side))
    for layer, channels in ((-2, 1), (-1, 4)):
        teacher = InternVideo2Teacher(str(tmp_path), layer=layer, canvas=side)
        expected = INTERNVIDEO2[f"{case}/layer_{layer}"][:, 1:]
        torch.testing.assert_close(teacher.tokens(pixels).flatten(1, 2)[..., ::channels], expected, **CLOSE)
    if f"{case}/pos_embed_ch4" in INTERNVIDEO2:
        positions = teacher.network.positions(frames, side // PATCH)
        torch.testing.assert_close(positions[..., ::4], INTERNVIDEO2[f"{case}/pos_embed_ch4"], **CLOSE)

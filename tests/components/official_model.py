"""The whole model with official weights, as far as several tests of golden numbers need it.

Everything that differs between folders of golden numbers (sizes, boxes, prompts) is read from the folder.
"""

from functools import partial

import torch
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from components.distillation import CosineDistillation
from components.encoders import STAB, VideoShapes
from components.language_models import ChatText, LanguageModel, VideoPandaV1
from components.official import load_official
from components.projectors import MLPProjector
from components.splice import PLACEHOLDER
from components.stab import LSTE, BatchStatistics
from tests.golden_formula import GOLDEN_DIR, normal, read_json, weights

FACTS = read_json("full_model.json")
SIZES = FACTS["config"]
FRAMES = read_json("formula.json")["num_frames"]
PATCH, TEACHER_WIDTH = 14, 1024
CANVAS = (SIZES["H"] // PATCH, SIZES["W"] // PATCH)
SHARED = ("model.video_tower.", "model.video_projector.", "model.video_tower_compressor.")


def official_name(key):
    """Name that `official.py` knows, or None for the language model's."""
    return key.removeprefix("model.").removeprefix("video_tower.") if key.startswith(SHARED) else None


def official_model(statistics=BatchStatistics):
    network = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=SIZES["hidden"],
            intermediate_size=SIZES["inter"],
            num_hidden_layers=SIZES["layers"],
            num_attention_heads=SIZES["heads"],
            vocab_size=SIZES["vocab"],
            rms_norm_eps=1e-5,
        )
    )
    text = ChatText(AutoTokenizer.from_pretrained(GOLDEN_DIR / "tokenizer"), VideoPandaV1())
    parts = nn.ModuleDict(
        {
            "encoder": STAB(dropout=0.0, local_encoding=partial(LSTE, statistics=statistics)),
            "projector": MLPProjector(1024, SIZES["hidden"]),
            "distillation": CosineDistillation(SIZES["hidden"], SIZES["layers"], TEACHER_WIDTH),
            "language_model": LanguageModel(network, text),
        }
    )
    official = weights("full_model_canonical")
    shared = {name: tensor for key, tensor in official.items() if (name := official_name(key))}
    report = load_official(parts["encoder"], parts["projector"], shared, parts["distillation"])
    assert report.absent == ()
    network.load_state_dict({key: tensor for key, tensor in official.items() if official_name(key) is None})
    return parts


def rectangles(boxes, frames=FRAMES):
    """Rectangles in patches of the frames of all clips, whose boxes are y0, y1, x0, x1 in pixels."""
    corners = [[y0 // PATCH, x0 // PATCH, (y1 - y0) // PATCH, (x1 - x0) // PATCH] for y0, y1, x0, x1 in boxes]
    return torch.tensor(corners).repeat_interleave(frames, 0)


def visual_tokens(model, clips, frames=FRAMES):
    """Layout and tokens of the first frames of clips, given by their numbers."""
    pixels = [normal(f"full/{clip}/pixels", (FRAMES, 3, SIZES["H"], SIZES["W"]))[:frames] for clip in clips]
    valid = rectangles([SIZES["boxes"][clip] for clip in clips], frames)
    layout = model["encoder"].layout(VideoShapes(torch.full((len(clips),), frames), valid, CANVAS))
    return layout, model["projector"](model["encoder"](torch.cat(pixels), layout))[layout.order]


def without_repeats(ids, *others):
    """Ids without padding and with one placeholder per clip, where the official code has one per frame."""
    kept = (ids != 0) & ~((ids == PLACEHOLDER) & (ids.roll(1) == PLACEHOLDER))
    return [row[kept] for row in (ids, *others)]

"""Encoder, projector, splice, language model and distillation together against the official implementation.

Everything that differs between folders of golden numbers (sizes, boxes, prompts) is read from the folder. The largest
differences are printed: pytest -s.
"""

from functools import partial

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from components.distillation import CosineDistillation, align
from components.encoders import STAB, VideoShapes
from components.language_models import LanguageModel, TinyLlama
from components.official import load_official, our_names
from components.projectors import MLPProjector
from components.splice import PLACEHOLDER, PaddingSide, plan_splice, splice
from components.stab import LSTE, ClipStatistics, FrozenStatistics
from tests.golden_formula import normal, read_arrays, read_json, weights

FACTS = read_json("full_model.json")
SIZES = FACTS["config"]
PATCH, TEACHER_WIDTH = 14, 1024
# The official code takes one clip at a time.
STATISTICS = {"train_bn_batch": ClipStatistics, "train_bn_eval": FrozenStatistics}
SHARED = ("model.video_tower.", "model.video_projector.", "model.video_tower_compressor.")


def official_name(key):
    """Name that `official.py` knows, or None for the language model's."""
    return key.removeprefix("model.").removeprefix("video_tower.") if key.startswith(SHARED) else None


def official_model(statistics):
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
    parts = nn.ModuleDict(
        {
            "encoder": STAB(dropout=0.0, local_encoding=partial(LSTE, statistics=statistics)),
            "projector": MLPProjector(1024, SIZES["hidden"]),
            "distillation": CosineDistillation(SIZES["hidden"], SIZES["layers"], TEACHER_WIDTH),
            "language_model": LanguageModel(network, TinyLlama().text),
        }
    )
    official = weights("full_model_canonical")
    shared = {name: tensor for key, tensor in official.items() if (name := official_name(key))}
    report = load_official(parts["encoder"], parts["projector"], shared, parts["distillation"])
    assert report.absent == ()
    network.load_state_dict({key: tensor for key, tensor in official.items() if official_name(key) is None})
    return parts


def rectangles(boxes, frames=8):
    """Rectangles in patches of the frames of all clips, whose boxes are y0, y1, x0, x1 in pixels."""
    corners = [[y0 // PATCH, x0 // PATCH, (y1 - y0) // PATCH, (x1 - x0) // PATCH] for y0, y1, x0, x1 in boxes]
    return torch.tensor(corners).repeat_interleave(frames, 0)


class Run:
    """One training step of the whole model."""

    def __init__(self, mode):
        self.mode, arrays = mode, read_arrays("full_model.npz")
        self.model = model = official_model(STATISTICS[mode]).train()
        encoder = model["encoder"]
        clips = len(SIZES["samples"])
        frames = torch.cat([normal(f"full/{clip}/pixels", (8, 3, SIZES["H"], SIZES["W"])) for clip in range(clips)])
        valid = rectangles(SIZES["boxes"])
        shapes = VideoShapes(torch.full((clips,), 8), valid, (SIZES["H"] // PATCH, SIZES["W"] // PATCH))
        layout = encoder.layout(shapes)
        tokens = model["projector"](encoder(frames, layout))[layout.order]

        ids, labels = [], []
        for row, wanted in zip(
            *(torch.from_numpy(arrays[f"train/{name}"]) for name in ("input_ids", "in_labels")), strict=True
        ):
            # One placeholder per frame there, one per clip here.
            kept = (row != 0) & ~((row == PLACEHOLDER) & (row.roll(1) == PLACEHOLDER))
            ids.append(row[kept])
            labels.append(wanted[kept])
        plan = plan_splice(ids, layout.token_counts, labels, padding_side=PaddingSide.RIGHT, pad_id=0, max_length=2048)
        language_model, distillation = model["language_model"], model["distillation"]
        output = language_model(
            splice(language_model.embed(plan.input_ids), tokens, plan), plan, distillation.hidden_layers
        )

        side = SIZES["S"] // PATCH
        teacher = torch.cat(
            [normal(f"full/{clip}/teacher_features", (8 // 4, 4, 1 + side**2, TEACHER_WIDTH)) for clip in range(clips)]
        )
        alignment = align(layout.grids, rectangles(SIZES["tboxes"]), (side, side))
        positions = plan.visual_positions[layout.grid]
        self.losses = {
            "lm_loss": output.loss,
            "video_loss": distillation(
                [states.flatten(0, 1)[positions] for states in output.hidden_states],
                alignment.pool(teacher.flatten(0, 1)[:, 1:].unflatten(1, (side, side))),
                alignment.frames,
                alignment.frame_count,
            ),
        }
        self.losses["loss"] = self.losses["lm_loss"] + distillation.weight * self.losses["video_loss"]
        self.losses["loss"].backward()
        self.expected = {name: float(arrays[f"{mode}/{name}"]) for name in self.losses}

    def gradient_norm(self, key):
        name = official_name(key)
        names = our_names(name) if name else (f"language_model.network.{key}",)
        gradients = [self.model.get_parameter(ours).grad for ours in names]
        return float(torch.cat([gradient.double().flatten() for gradient in gradients]).norm()) if names else None


@pytest.fixture(scope="module", params=["train_bn_eval", "train_bn_batch"])
def run(request):
    return Run(request.param)


def test_losses(run):
    differences = {name: abs(loss.item() - run.expected[name]) for name, loss in run.losses.items()}
    print(f"\n{run.mode}:", {name: f"{difference:.1e}" for name, difference in differences.items()})
    assert max(differences.values()) < 1e-5, differences


def test_gradients(run):
    differences = {}
    for key, norm in FACTS["grad_norms"][run.mode].items():
        ours = run.gradient_norm(key)
        if not norm:  # a layer that is not used, or that has a single answer to attend to
            assert not ours or ours < 1e-8, (key, ours)
        else:
            differences[key] = abs(ours / norm - 1)
    print(f"\n{run.mode}: norms of gradients {max(differences.values()):.1e}")
    assert len(differences) > len(list(run.model["distillation"].parameters()))
    assert max(differences.values()) < 1e-4, {key: d for key, d in differences.items() if d > 1e-4}

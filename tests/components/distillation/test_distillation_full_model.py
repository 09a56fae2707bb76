"""A training step of the whole model, with distillation, against the official implementation.

The largest differences are printed: pytest -s.
"""

import pytest
import torch

from components.distillation import align
from components.official import our_names
from components.splice import PaddingSide, plan_splice, splice
from components.stab import ClipStatistics, FrozenStatistics
from tests.components.official_model import (
    FACTS,
    FRAMES,
    PATCH,
    SIZES,
    TEACHER_WIDTH,
    official_model,
    official_name,
    rectangles,
    visual_tokens,
    without_repeats,
)
from tests.golden_formula import normal, read_arrays

# The official code takes one clip at a time.
STATISTICS = {"train_bn_batch": ClipStatistics, "train_bn_eval": FrozenStatistics}


class Run:
    """One training step of the whole model."""

    def __init__(self, mode):
        self.mode, arrays = mode, read_arrays("full_model.npz")
        self.model = model = official_model(STATISTICS[mode]).train()
        clips = range(len(SIZES["samples"]))
        layout, tokens = visual_tokens(model, clips)
        rows = (torch.from_numpy(arrays[f"train/{name}"]) for name in ("input_ids", "in_labels"))
        ids, labels = zip(*(without_repeats(*row) for row in zip(*rows, strict=True)), strict=True)
        plan = plan_splice(ids, layout.token_counts, labels, padding_side=PaddingSide.RIGHT, pad_id=0, max_length=2048)
        language_model, distillation = model["language_model"], model["distillation"]
        output = language_model(
            splice(language_model.embed(plan.input_ids), tokens, plan), plan, distillation.hidden_layers
        )

        side = SIZES["S"] // PATCH
        teacher = torch.cat(
            [normal(f"full/{clip}/teacher_features", (FRAMES // 4, 4, 1 + side**2, TEACHER_WIDTH)) for clip in clips]
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
        self.statistics = dict(model["encoder"].local_encoding.norm.named_buffers())
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


def test_running_statistics_move_once_per_clip():
    run = Run("train_bn_batch")
    arrays = read_arrays("full_model.npz")
    for name in ("running_mean", "running_var"):
        expected = torch.from_numpy(arrays[f"train_bn_batch/bn_{name}_after"])
        torch.testing.assert_close(run.statistics[name], expected, atol=1e-5, rtol=1e-5)
    assert run.statistics["num_batches_tracked"] == FACTS["bn_num_batches_tracked_after"]

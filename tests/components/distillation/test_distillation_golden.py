"""Distillation against numbers computed with the official implementation.

Everything that differs between folders of golden numbers (cases, sizes, boxes, layers) is read from the folder. The
largest difference per case is printed: pytest -s.
"""

import numpy as np
import pytest
import torch
from torch import nn

from components.distillation import CosineDistillation, align
from components.official import load_official, our_names
from tests.golden_formula import normal, read_arrays, read_json, weights

FACTS = read_json("distill.json")
CASES = FACTS["cases"]
COMPRESSOR = "video_tower_compressor."
PATCH = 14
TEACHER_WIDTH = 1024


@pytest.fixture(scope="module")
def arrays():
    return read_arrays("distill.npz")


@pytest.fixture(scope="module")
def state_dict():
    return {COMPRESSOR + key: tensor for key, tensor in weights("video_compressor").items()}


@pytest.fixture(scope="module", params=list(CASES))
def run(request, arrays, state_dict):
    return Run(request.param, arrays, state_dict)


class Run:
    """One case, run once."""

    def __init__(self, name, arrays, state_dict):
        self.name, self.case = name, CASES[name]
        llm, layers, every = (FACTS["hp"][key] for key in ("llm", "layers", "rate"))
        self.distillation = CosineDistillation(llm, layers, TEACHER_WIDTH, every=every)
        self.report = load_official(nn.Identity(), nn.Identity(), state_dict, self.distillation)

        clips, frames, (rows, columns) = self.case["B"], self.case["T"], self.case["hw"]
        self.real = torch.tensor([frame % frames not in self.case["pad"] for frame in range(clips * frames)])
        # A padded frame is all tokens, context and row tokens too, in the recorded predictions.
        recorded_rows = torch.from_numpy(arrays[f"{name}/pred_rows"])
        self.recorded_real = self.real.repeat_interleave(recorded_rows)
        lengths = torch.where(self.real, 1 + rows * (columns + 1), recorded_rows)

        length = max(self.case["text"]) - frames + int(lengths.view(clips, frames).sum(1).max())
        self.hidden = normal(f"distill/{name}/hidden", (clips, length, layers + 1, llm)).requires_grad_()
        hidden_states = [self.hidden[:, :, layer].flatten(0, 1) for layer in self.distillation.hidden_layers]

        starts = lengths.view(clips, frames).cumsum(1) - lengths.view(clips, frames)
        starts = starts + torch.tensor(self.case["first"])[:, None] + torch.arange(clips)[:, None] * length
        starts = starts.flatten()[self.real]
        in_frame = 1 + (torch.arange(rows)[:, None] * (columns + 1) + torch.arange(columns)).flatten()
        positions = (starts[:, None] + in_frame).flatten()

        side = self.case["S"] // PATCH
        teacher = normal(f"distill/{name}/teacher", (clips, frames, 1 + side * side, TEACHER_WIDTH))[:, :, 1:]
        teacher = teacher.flatten(0, 1)[self.real].unflatten(1, (side, side))
        top, bottom, left, right = self.case["box"]
        count = int(self.real.sum())
        self.alignment = align(
            torch.tensor([[rows, columns]] * count),
            torch.tensor([[top, left, bottom - top, right - left]] * count),
            (side, side),
        )
        self.teacher = self.alignment.pool(teacher)

        self.distillation.head.register_forward_hook(lambda _head, _inputs, output: setattr(self, "prediction", output))
        self.loss = self.distillation(
            [states[positions] for states in hidden_states],
            self.teacher,
            self.alignment.frames,
            self.alignment.frame_count,
        )
        self.loss.backward()


def difference(actual, expected):
    return float(np.abs(actual.detach().numpy() - expected).max())


def test_loss_and_its_two_sides(run, arrays):
    recorded = {key: arrays[f"{run.name}/{key}"] for key in ("loss", "pred_ch8", "teacher_aligned_ch8")}
    computed = {
        "loss": difference(run.loss, recorded["loss"]),
        "prediction": difference(run.prediction[:, ::8], recorded["pred_ch8"][run.recorded_real]),
        "teacher": difference(run.teacher[:, ::8], recorded["teacher_aligned_ch8"][run.recorded_real]),
    }
    print(f"\n{run.name}:", {key: f"{value:.1e}" for key, value in computed.items()})
    assert computed["loss"] < 1e-6
    assert computed["prediction"] < 1e-5
    assert computed["teacher"] < 1e-6


def test_gradients_of_the_hidden_states(run, arrays):
    expected = arrays[f"{run.name}/grad_hidden_ch16"]
    computed = difference(run.hidden.grad[..., ::16], expected)
    print(f"\n{run.name}: gradient of the hidden states {computed / np.abs(expected).max():.1e} of its maximum")
    assert computed < 1e-5 * np.abs(expected).max()


def test_norms_of_all_gradients(run):
    norms = dict(FACTS["grad_norms"][run.name])
    hidden = run.hidden.grad.double()
    computed = {"hidden": (hidden.norm(), norms.pop("hidden"))}
    per_layer = norms.pop("hidden_per_layer")
    computed |= {f"hidden {layer}": (hidden[:, :, layer].norm(), norm) for layer, norm in enumerate(per_layer)}
    for key, norm in norms.items():
        (name,) = our_names(COMPRESSOR + key)
        gradient = run.distillation.get_parameter(name.removeprefix("distillation.")).grad
        computed[key] = (gradient.double().norm(), norm)
    relative = {key: abs(float(ours) - norm) / max(norm, 1e-30) for key, (ours, norm) in computed.items()}
    print(f"\n{run.name}: norms of gradients {max(relative.values()):.1e}")
    assert len(norms) == len(list(run.distillation.parameters()))
    assert max(relative.values()) < 1e-4, relative


def test_the_hidden_states_are_the_official_ones(run):
    assert list(run.distillation.hidden_layers) == FACTS["layer_idx"]


def test_every_official_key_is_accounted_for(run, state_dict):
    assert sorted(run.report.loaded) == sorted(state_dict)
    assert run.report.unused == run.report.absent == ()


@pytest.mark.parametrize("group", ["full_model_canonical", "released_size_state_dict"])
def test_heads_of_other_sizes_have_official_names_too(group):
    keys = {
        key.removeprefix("model."): entry["shape"] if isinstance(entry, dict) else entry
        for key, entry in read_json("keys.json")[group].items()
        if key.startswith("model." + COMPRESSOR)
    }
    projections = [key for key in keys if key.endswith(".1.weight")]
    with torch.device("meta"):
        width = keys[projections[0]][1]
        distillation = CosineDistillation(width, 4 * (len(projections) - 1), TEACHER_WIDTH)
    ours = {f"distillation.{name}": list(tensor.shape) for name, tensor in distillation.state_dict().items()}
    assert {our_names(key): list(shape) for key, shape in keys.items()} == {(name,): ours[name] for name in ours}

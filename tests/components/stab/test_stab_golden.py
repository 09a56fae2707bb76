"""STAB and the MLP projector against numbers computed with the official implementation.

Everything that differs between folders of golden numbers (cases, sizes, boxes, which arrays) is read from the folder.
The largest difference per case and array is printed: pytest -s.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from components.encoders import STAB, VideoShapes
from components.official import load_official, our_names
from components.projectors import MLPProjector
from tests.golden_formula import normal, read_arrays, read_json, weights

FACTS = read_json("stab_video.json")
CASES = FACTS["cases"]
TOLERANCE = 1e-5
EMPTY_FRAME = 16  # official: a frame without valid pixels shows its first 16 x 16 patches


@pytest.fixture(scope="module")
def arrays():
    return read_arrays("stab_video.npz")


@pytest.fixture(scope="module")
def state_dict():
    return weights("video_tokenizer") | weights("video_projector", "video_projector.")


@pytest.fixture(scope="module", params=list(CASES))
def run(request, state_dict):
    """One case, run once: what went in, what came out, what was seen in between, and the gradients."""
    return Run(request.param, state_dict)


class Run:
    def __init__(self, name, state_dict):
        self.name, self.case = name, CASES[name]
        case, patch = self.case, 14
        # A row of the official batch is one chunk, so each is a clip of its own here.
        self.encoder = STAB(chunk_frames=case["T"], dropout=0.0)
        width, hidden = self.encoder.width, len(state_dict["video_projector.0.bias"])
        self.projector = MLPProjector(width, hidden)
        self.report = load_official(self.encoder, self.projector, state_dict)
        self.encoder.train(case.get("train", False))

        count = case["B"] * case["T"]
        frames = normal(f"stab/{case.get('pixels', name)}/pixels", (count, 3, case["H"], case["W"]))
        rows, columns = case["H"] // patch, case["W"] // patch
        rectangles = torch.zeros(count, 4, dtype=torch.int64)
        for frame in range(count):
            box = case["boxes"].get(str(frame), case["boxes"].get("all"))
            if box is None:
                frames[frame] = 0
                rectangles[frame] = torch.tensor([0, 0, min(EMPTY_FRAME, rows), min(EMPTY_FRAME, columns)])
            else:
                y0, y1, x0, x1 = (edge // patch for edge in box)
                rectangles[frame] = torch.tensor([y0, x0, y1 - y0, x1 - x0])
        shapes = VideoShapes(torch.full((case["B"],), case["T"]), rectangles, (rows, columns))
        self.layout = self.encoder.layout(shapes)

        self.seen: dict[str, Tensor] = {}
        for part in ("patch_embedding", "local_encoding", "downsampling", "frame_aggregator", "video_aggregator"):
            self._record(part, self.encoder.get_submodule(part))
        self._record("expand", self.encoder.local_encoding.expand)
        self.features = self.encoder(frames, self.layout)
        self.identity = self.features[self.layout.order]
        self.mlp = self.projector(self.features)[self.layout.order]
        (self.identity * normal(f"stab/{name}/R", self.identity.shape)).sum().backward()

    def _record(self, name, module):
        module.register_forward_hook(lambda _module, _inputs, output: self.seen.update({name: output.detach()}))

    def recorded(self):
        """What this project computes, under the names of the recorded arrays."""
        patches, video = self.seen["patch_embedding"], self.layout.video_frames
        computed = {
            "identity": self.identity,
            "identity_ch4": self.identity[:, ::4],
            "mlp": self.mlp,
            "fsra_token": self.seen["frame_aggregator"],
            "gstra_token": self.seen["video_aggregator"],
            "fused_token": self.features[: len(patches)],
            "lsd": self.seen["downsampling"],
            "patch": patches,
            "lste_x1": patches[video] + self.seen["expand"].view_as(patches[video]),
            "lste_x2": self.seen["local_encoding"],
        }
        computed = {name: tensor.detach() for name, tensor in computed.items()}
        for name, every in (("patch", 16), ("lste_x1", 16), ("lste_x2", 16), ("lsd", 8)):
            tensor = computed.pop(name)
            computed[f"{name}_ch{every}"] = (
                tensor[..., ::every].movedim(-1, 1) if tensor.dim() == 4 else tensor[:, ::every]
            )
            if tensor.numel():
                numbers = tensor.double()
                computed[f"{name}_stats"] = torch.stack(
                    [numbers.mean(), numbers.std(), numbers.abs().max(), numbers.norm()]
                )
        norm = self.encoder.local_encoding.norm
        computed["bn_running_mean_after"], computed["bn_running_var_after"] = norm.running_mean, norm.running_var
        return computed

    def gradient(self, key):
        """Gradient under an official name, flattened; zeros where nothing flows."""
        pieces = []
        for name in our_names(key):
            parameter = self.encoder.get_parameter(name.removeprefix("encoder."))
            pieces.append((torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).flatten())
        return torch.cat(pieces)


def test_token_counts(run, arrays):
    lens = arrays[f"{run.name}/lens"].reshape(run.case["B"], run.case["T"])
    assert list(run.layout.token_counts) == lens.sum(1).tolist()
    assert lens.tolist() == np.reshape(run.case["lens"], lens.shape).tolist()
    per_frame = (run.layout.frames.occupied.sum(1)).tolist()
    assert per_frame == [h * w for h, w in arrays[f"{run.name}/patch_hw"].tolist()]


def test_recorded_arrays(run, arrays):
    computed = run.recorded()
    differences = {}
    for key in arrays:
        case, _, name = key.partition("/")
        if case != run.name or name.startswith("grad/") or name in ("lens", "patch_hw"):
            continue
        actual, expected = computed[name].numpy(), arrays[key]
        assert actual.shape == expected.shape, name
        scale = np.maximum(1, np.abs(expected)) if name.endswith("_stats") else 1  # norms of millions of numbers
        differences[name] = float((np.abs(actual - expected) / scale).max())
    print(f"\n{run.name}:", {name: f"{difference:.1e}" for name, difference in differences.items()})
    assert "mlp" in differences
    assert max(differences.values()) < TOLERANCE, differences


def test_gradients(run, arrays):
    differences = {}
    for key in arrays:
        case, _, name = key.partition("/grad/")
        if case == run.name and name:
            expected = arrays[key]
            actual = run.gradient(name)[: len(expected)].numpy()
            differences[name] = float(np.abs(actual - expected).max() / np.abs(expected).max())
    for key, norm in FACTS["grad_norms"].get(run.name, {}).items():
        if not our_names(key):
            assert norm is None and key in run.report.unused, key
        elif norm is None:
            assert run.gradient(key).abs().max() == 0, key
        else:
            differences[f"norm of {key}"] = abs(float(run.gradient(key).double().norm()) / norm - 1)
    if differences:
        print(f"\n{run.name}: gradients {max(differences.values()):.1e}")
        assert max(differences.values()) < 1e-4, differences


def test_every_official_key_is_accounted_for(run, state_dict):
    report = run.report
    assert sorted(report.loaded + report.unused) == sorted(state_dict)
    assert report.absent == ()
    assert all(key.startswith("lmhra2.") or key.endswith("num_batches_tracked") for key in report.unused)

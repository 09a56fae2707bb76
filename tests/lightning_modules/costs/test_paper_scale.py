"""Every experiment builds at the paper's and the small scale, and changes there what it changes at toy scale."""

from functools import cache
from pathlib import Path

import pytest

from lightning_modules.config.chain import base_files
from lightning_modules.config.difference import difference
from lightning_modules.costs.meta_training import use_fused_attention
from lightning_modules.costs.training_memory import training_batch
from lightning_modules.resolve import resolve_at_paper_scale

EXPERIMENTS = sorted(Path("experiments").glob("*.yaml"))
VICUNA, QWEN3 = 6_738_415_616, 8_190_735_360
# Which are pretrained at the paper's scale and small and new at toy scale.
OF_ONE_SCALE = ("language_model", "encoder.tower")


@cache
def component_names(experiment, scale):
    return resolve_at_paper_scale([str(experiment), f"configs/scale/{scale}.yaml"]).model_on_meta().component_names()


def changes(experiment, scale):
    (base,) = base_files(experiment)
    of_both = [
        {slot: name for slot, name in component_names(file, scale).items() if slot not in OF_ONE_SCALE}
        for file in (experiment, base.resolve().relative_to(Path.cwd()))
    ]
    return difference(*of_both)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_at_paper_scale(experiment):
    paper = resolve_at_paper_scale([str(experiment)])
    assert paper.scale == "paper"
    model = paper.model_on_meta()
    assert all(parameter.is_meta for parameter in model.parameters())
    base_size = QWEN3 if experiment.stem == "llm_qwen3" else VICUNA
    adapter = sum(parameter.numel() for name, parameter in model.named_parameters() if "lora_" in name)
    assert sum(parameter.numel() for parameter in model.language_model.parameters()) == base_size + adapter
    assert bool(adapter) == (experiment.stem == "lora")
    use_fused_attention(model.language_model.network)
    batch = training_batch(model, paper.frames(), paper.data.canvas, 1, 16, "meta")
    loss, distillation = model.losses(batch)
    assert loss.is_meta and (distillation is None) == (not model.distillation.hidden_layers)
    assert batch.text.input_ids.shape == (1, len(batch.layout.order) + 16)


@pytest.mark.long
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_at_small_scale(experiment):
    small = resolve_at_paper_scale([str(experiment), "configs/scale/small.yaml"])
    model = small.model_on_meta()
    use_fused_attention(model.language_model.network)
    batch = training_batch(model, small.frames(), small.data.canvas, 1, 256, "meta")
    loss, distillation = model.losses(batch)
    assert loss.is_meta and (distillation is None) == (not model.distillation.hidden_layers)
    assert batch.text.input_ids.shape[1] + small.config.model.max_new_tokens < model.language_model.max_length


@pytest.mark.long
@pytest.mark.parametrize(
    "experiment",
    [file for file in EXPERIMENTS if base_files(file)[0].parent.name != "scale" and file.stem != "full"],
    ids=lambda path: path.stem,
)
def test_an_experiment_changes_the_same_at_all_scales(experiment):
    assert changes(experiment, "paper") == changes(experiment, "toy") == changes(experiment, "small")

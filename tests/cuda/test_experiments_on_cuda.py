"""Every experiment trains and answers on pretended CUDA tensors: on one device, without making the host wait."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lightning_modules.resolve import resolve_at_paper_scale, resolve_files
from tests.cuda.known_faults import READS_OF_ANSWERS, unknown
from tests.cuda.pretended import CUDA, moved, on_one_device, precision, pretended_cuda, ragged_batch
from tests.cuda.watcher import Watcher
from tests.random_weights import random_weights

EXPERIMENTS = sorted(Path("experiments").glob("*.yaml"))
# The kinds of encoders, language models and adapters; the other experiments answer as one of these does.
SOME = ("full", "eve", "video_chatgpt", "video_llava", "llm_qwen3", "lora")
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
# Without casts these are the operations of bf16-true; the one that everything builds on is enough for `make test`.
STEPS = [
    pytest.param(
        file, name, id=f"{file.stem}-{name}",
        marks=[pytest.mark.long] if name == "32-true" and file.stem != "full" else [],
    )
    for file in EXPERIMENTS for name in PRECISIONS
]  # fmt: skip


@cache
def resolved(experiment):
    return resolve_files([str(experiment), *random_weights(experiment)])


@cache
def built(experiment):
    return resolved(experiment).model()


def losses_on_cuda(model, batch, precision_name, monkeypatch):
    """Return the losses of a training step on pretended CUDA tensors, and what was seen on the way."""
    plugin = precision(precision_name, CUDA)
    on_one_device(model).train()
    plugin.convert_module(model)
    with pretended_cuda(monkeypatch):
        moved(model, CUDA)
        with Watcher() as watcher:
            moved_batch = plugin.convert_input(batch.to(CUDA))
            with plugin.forward_context():
                losses = [loss for loss in model.training_losses(moved_batch) if loss is not None]
    return losses, watcher


@pytest.mark.parametrize(("experiment", "precision_name"), STEPS)
def test_an_experiment_on_cuda(experiment, precision_name, monkeypatch):
    model, settings = deepcopy(built(experiment)), resolved(experiment)
    batch = ragged_batch(model, settings.data.canvas, [5, settings.frames(), 1])
    losses, watcher = losses_on_cuda(model, batch, precision_name, monkeypatch)
    assert len(losses) == 1 + bool(model.distillation.hidden_layers)
    assert all(loss.device == CUDA and loss.dtype == torch.float32 and loss.requires_grad for loss in losses)
    assert not unknown(watcher.by_file()), watcher.found


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(f, id=f.stem, marks=[] if f.stem in SOME else [pytest.mark.long]) for f in EXPERIMENTS],
)
@torch.no_grad()
def test_answers_on_cuda(experiment, monkeypatch):
    model, settings = on_one_device(deepcopy(built(experiment))).eval(), resolved(experiment)
    batch = ragged_batch(model, settings.data.canvas, [5, settings.frames(), 1], new_tokens=3)
    passes = []
    model.language_model.network.register_forward_hook(lambda _, __, output: passes.append(output.logits))
    with pretended_cuda(monkeypatch):
        moved(model, CUDA)
        with Watcher() as watcher, precision("bf16-mixed", CUDA).forward_context():
            batch = batch.to(CUDA)
            embeddings = model.embeddings(batch.questions, model.visual_tokens(batch))
            model.language_model.generate(embeddings, batch.questions, 3)
    assert [logits.shape[:2] for logits in passes] == [(3, 1)] * 3
    assert all(logits.device == CUDA for logits in passes)
    assert not unknown(watcher.by_file(), READS_OF_ANSWERS), watcher.found


@pytest.mark.parametrize("precision_name", ["bf16-mixed", pytest.param("bf16-true", marks=pytest.mark.long)])
def test_the_full_model_at_the_papers_size(precision_name, monkeypatch):
    paper = resolve_at_paper_scale(["experiments/full.yaml"])
    model = paper.model_on_meta()
    batch = ragged_batch(model, paper.data.canvas, [paper.frames(), 5])
    losses, watcher = losses_on_cuda(model, batch, precision_name, monkeypatch)
    assert len(losses) == 2 and all(loss.device == CUDA for loss in losses)
    assert sum(parameter.numel() for parameter in model.language_model.parameters()) == 6_738_415_616
    assert not unknown(watcher.by_file()), watcher.found


@pytest.mark.long
def test_the_gradients_of_the_full_model_at_the_papers_size():
    """On meta, where autograd needs no device: every trained parameter gets a gradient of its own size."""
    paper = resolve_at_paper_scale(["experiments/full.yaml"])
    model = on_one_device(paper.model_on_meta()).to(torch.bfloat16).train()
    AttentionInterface.register("sdpa_without_mask", sdpa_attention_forward)  # a mask would depend on values
    model.language_model.network.set_attn_implementation("sdpa_without_mask")
    batch = ragged_batch(model, paper.data.canvas, [paper.frames(), 5]).to(torch.device("meta"))
    sum(model.training_losses(batch)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.grad is None or parameter.grad.shape == parameter.shape, name

"""How often the host reads a value: never in a training step, and in an answer every few tokens.

Libraries ask pretended tensors for less than real ones, so a step on the CPU is watched too, with its backward pass.
"""

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from lightning_modules.resolve import resolve_files
from lightning_modules.training.stage import clip
from tests.cuda.known_faults import READS_OF_ANSWERS, unknown
from tests.cuda.pretended import CPU, CUDA, moved, on_one_device, precision, pretended_cuda, ragged_batch
from tests.cuda.watcher import BLOCKING_COPY, HOST_READ, TWO_DEVICES, Watcher
from tests.random_weights import random_weights

SOME = ("full", "eve", "video_chatgpt", "video_llava", "llm_qwen3", "lora", "masked_canvas", "teacher_internvideo2")
EXPERIMENTS = [
    pytest.param(file, id=file.stem, marks=[] if file.stem in SOME else [pytest.mark.long])
    for file in sorted(Path("experiments").glob("*.yaml"))
]
# Index arithmetic of a teacher on the host; the pretended tensors tell the host from the device.
INDICES = ("components/groups.py", "components/teachers/teacher.py")


def model_of(experiment):
    settings = resolve_files([str(experiment), *random_weights(experiment)])
    return on_one_device(settings.model()), settings


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_training_step_reads_nothing(experiment):
    model, settings = model_of(experiment)
    model.train()
    batch = ragged_batch(model, settings.data.canvas, [5, settings.frames(), 1])
    plugin = precision("bf16-mixed", CPU)
    optimizer = model.stage.optimizer(model.groups())
    with Watcher("cpu") as watcher:
        with plugin.forward_context():
            losses = [loss for loss in model.training_losses(batch) if loss is not None]
        sum(losses).backward()
        clip(optimizer, 1.0, "norm")
        optimizer.step()
    assert watcher.operations["aten._fused_adamw_"]
    found = {key: number for key, number in watcher.by_file().items() if key[1] not in INDICES}
    assert not unknown(found), watcher.found


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_and_the_optimiser_on_cuda(algorithm, monkeypatch):
    model, _ = model_of(Path("experiments/full.yaml"))
    with pretended_cuda(monkeypatch):
        optimizer = model.stage.optimizer(moved(model, CUDA).groups())
        schedule = model.stage.schedule(optimizer, 10)
        with Watcher() as watcher:
            for _ in range(2):  # the first makes the moments
                for parameter in model.parameters():
                    parameter.grad = torch.empty_like(parameter)
                assert clip(optimizer, 1.0, algorithm).device == CUDA
                optimizer.step(), schedule.step(), optimizer.zero_grad()
    assert watcher.operations["aten._fused_adamw_"] >= 2
    assert not watcher.found


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@torch.no_grad()
def test_answers_read_every_few_tokens(experiment):
    model, settings = model_of(experiment)
    batch = ragged_batch(model.eval(), settings.data.canvas, [5, settings.frames(), 1], new_tokens=7)
    model.language_model.text.end_id = -1  # never
    with Watcher("cpu") as watcher, precision("bf16-mixed", CPU).forward_context():
        embeddings = model.embeddings(batch.questions, model.visual_tokens(batch))
        ids = model.language_model.generate(embeddings, batch.questions, 7)
    assert ids.shape == (3, 7)
    assert not unknown(watcher.by_file(), READS_OF_ANSWERS), watcher.found


def some_values():
    return torch.arange(3.0, device=CUDA)


@pytest.mark.parametrize(
    ("faulty", "what"),
    [
        (lambda: some_values().sum().item(), HOST_READ),
        (lambda: bool(some_values().any()), HOST_READ),
        (lambda: some_values().tolist(), HOST_READ),
        (lambda: some_values().cpu(), HOST_READ),
        (lambda: some_values()[some_values() > 0], HOST_READ),
        (lambda: some_values().nonzero(), HOST_READ),
        (lambda: some_values().masked_select(some_values() > 0), HOST_READ),
        (lambda: some_values().unique(), HOST_READ),
        (lambda: some_values().equal(some_values()), HOST_READ),
        (lambda: torch.repeat_interleave(some_values().long()), HOST_READ),
        (lambda: some_values().index_put_((some_values() > 0,), torch.ones((), device=CUDA)), HOST_READ),
        (lambda: torch.tensor([1.0, 2.0], device=CUDA), BLOCKING_COPY),
        (lambda: torch.ones(3).to(CUDA), BLOCKING_COPY),
        (lambda: some_values().copy_(torch.ones(3)), BLOCKING_COPY),
        (lambda: some_values()[torch.tensor([0, 2])], TWO_DEVICES),
    ],
)
def test_the_watcher_sees(faulty, what, monkeypatch):
    # What a pretended tensor cannot answer it refuses, in ways of its own.
    with pretended_cuda(monkeypatch), Watcher() as watcher, suppress(Exception):
        faulty()
    assert [kind for kind, *_ in watcher.found] == [what]


def test_the_watcher_is_quiet_about(monkeypatch):
    with pretended_cuda(monkeypatch), Watcher() as watcher:
        counts = torch.tensor([1, 2])
        counts.tolist(), counts.nonzero(), torch.repeat_interleave(counts)  # of the host
        indices = counts.to(CUDA, non_blocking=True)
        some_values().index_select(0, indices), some_values()[indices], some_values() * torch.tensor(2.0)
        torch.repeat_interleave(indices, indices, output_size=3), torch.where(some_values() > 0, 1.0, 0.0)
    assert not watcher.found

"""Tokens per second of training and of generation: python -m benchmarks.gpu.throughput."""

import torch

from benchmarks.gpu.measuring import TEXT_TOKENS, Place, Row, build, each, main
from benchmarks.training_memory import Step, batch_for
from components.splice import PLACEHOLDER, PaddingSide, plan_splice
from lightning_modules.costs.peak_memory import precision_of


def training(place: Place) -> Row:
    """Return the rate of the first stage's steps, with all tokens of text and clips."""
    settings = ["--data.batch_size=8", "--trainer.precision=bf16-mixed"]
    case = place.resolve("full", ["configs/stage/align.yaml"], settings)
    model = build(case, place.device, None).train()
    step = Step(model, batch_for(model, case, place.device), precision_of("bf16-mixed"))
    taken = place.milliseconds(step, 1 if place.rehearsal else 5)
    tokens = step.batch.text.labels.numel()
    return {"ms per step": taken, "tokens per step": tokens, "tokens per second": 1000 * tokens / taken}


@torch.no_grad()
def generation(place: Place, samples: int = 8) -> Row:
    """Return the rate of new tokens, all answers together, and the time of one pass; weights in bfloat16."""
    case = place.resolve("full", [], [f"--data.batch_size={samples}"])
    model = build(case, place.device, torch.bfloat16).eval()
    batch, language_model = batch_for(model, case, place.device), model.language_model
    new = 4 if place.rehearsal else 64
    ids = torch.cat([torch.tensor([PLACEHOLDER]), torch.zeros(TEXT_TOKENS, dtype=torch.int64)])
    plan = plan_splice(
        [ids] * samples, batch.layout.token_counts, None, padding_side=PaddingSide.LEFT,
        pad_id=language_model.text.pad_id, max_length=language_model.max_length, new_tokens=new,
    ).to(place.device)  # fmt: skip
    frames = model.encoder.normalize(batch.frames).to(torch.bfloat16)
    visual = model.projector(model.encoder(frames, batch.layout)).index_select(0, batch.layout.order)
    embeddings, lengths = model.embeddings(plan, visual), []

    def answer(longest: int) -> None:
        lengths.append(language_model.generate(embeddings, plan, longest).shape[1])

    first, whole = place.milliseconds(lambda: answer(1), 3), place.milliseconds(lambda: answer(new), 3)
    further = max(lengths[-1] - 1, 1)
    return {
        "ms to the first token": first,
        "ms per further pass": (whole - first) / further,
        "new tokens per second": 1000 * samples * lengths[-1] / whole,
    }


def measure(place: Place) -> list[Row]:
    """Return a line for each."""
    return each(place, {"training, align": lambda: training(place), "generation, bf16": lambda: generation(place)})


if __name__ == "__main__":
    main("throughput", __doc__, measure)

"""Compares the memory that `plan` expects of a training step with what one takes: python benchmarks/training_memory.py.

Several sizes and number formats, from the toy scale to the largest that fits a laptop (or, with --large, one GPU),
with random weights and generated batches. On a CPU it is what torch's allocator has handed out at most.
"""

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from lightning_modules.costs.peak_memory import Precision, peak_memory, precision_of
from lightning_modules.costs.training_memory import training_batch, training_memory
from lightning_modules.resolve import Experiment, resolve_at_paper_scale
from lightning_modules.training.bf16_weights import round_frozen
from lightning_modules.training.model_input import ModelInput
from lightning_modules.video_language import VideoLanguageModel

TEXT_TOKENS = 64
MIB = 2**20
TOY = ["configs/scale/toy.yaml"]
MEDIUM = ["--model.encoder.width=256", "--model.encoder.patch_size=12", "--data.canvas=168", "--data.batch_size=8",
          "--model.teacher.canvas=84", "--model.teacher.weights={width: 256, layers: 6, heads: 4, patch_size: 12}",
          "--model.language_model=TinyLlama", "--model.language_model.width=512", "--model.language_model.layers=8",
          "--model.language_model.heads=8"]  # fmt: skip
WEIGHTS = ["--data.batch_size=1", "--data.sampler.frames=4", "--model.encoder.width=128",
           "--model.language_model=TinyLlama", "--model.language_model.width=512", "--model.language_model.layers=8",
           "--model.language_model.heads=8"]  # fmt: skip
FROZEN = [*TOY, "configs/stage/align.yaml"]
CASES = {
    "toy": ("full", TOY, []),
    "toy, no distillation": ("no_distillation", TOY, []),
    "toy, larger batch": ("full", TOY, ["--data.batch_size=64"]),
    "medium": ("full", TOY, MEDIUM),
    "medium, bf16-mixed": ("full", TOY, [*MEDIUM, "--trainer.precision=bf16-mixed"]),
    "medium, bf16-true": ("full", TOY, [*MEDIUM, "--trainer.precision=bf16-true"]),
    "medium, no distillation": ("no_distillation", TOY, MEDIUM),
    "medium, language model frozen": ("full", FROZEN, MEDIUM),
    "medium, language model frozen, bf16-mixed": ("full", FROZEN, [*MEDIUM, "--trainer.precision=bf16-mixed"]),
    "medium, LoRA": ("lora", TOY, MEDIUM),
    "more weights than activations": ("no_distillation", TOY, WEIGHTS),
}
LARGE = [
    "--model.language_model=TinyLlama",
    "--model.language_model.width=2048",
    "--model.language_model.layers=16",
    "--model.language_model.heads=16",
    "--model.encoder.width=1024",
    "--data.canvas=448",
    "--data.batch_size=4",
    "--model.encoder.patch_size=14",
    "--model.teacher.canvas=224",
    "--model.teacher.weights={width: 1024, layers: 24, heads: 16, patch_size: 14}",
]
LARGE_CASES = {
    "large": ("full", TOY, LARGE),
    "large, bf16-mixed": ("full", TOY, [*LARGE, "--trainer.precision=bf16-mixed"]),
    "large, language model frozen, bf16-mixed": ("full", FROZEN, [*LARGE, "--trainer.precision=bf16-mixed"]),
}


class Step(nn.Module):
    """A whole training step, as something whose memory can be measured."""

    def __init__(self, model: VideoLanguageModel, batch: ModelInput, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self.batch = batch
        self.operations = precision.operations
        self.optimizer = model.stage.optimizer(model.groups())

    def forward(self) -> None:
        """Compute the losses and their gradients, and change the weights."""
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, self.operations) if self.operations else nullcontext():
            loss, distillation = self.model.losses(self.batch)
            total = loss if distillation is None else loss + self.model.distillation.weight * distillation
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def batch_for(model: VideoLanguageModel, case: Experiment, device: torch.device) -> ModelInput:
    """Return a batch of the sizes of a case."""
    return training_batch(model, case.frames(), case.data.canvas, case.data.batch_size, TEXT_TOKENS, device)


def compare(case: Experiment, device: torch.device) -> dict[str, float]:
    """Return expected and measured memory in MiB, and their ratio."""
    precision = precision_of(case.config.trainer.precision)
    sized = case.model_on_meta()
    if precision.operations == torch.bfloat16:
        round_frozen(sized)
    expected = training_memory(sized, batch_for(sized, case, torch.device("meta")), precision, accumulates=False)
    torch.manual_seed(0)
    model = case.model().to(device).train()
    if precision.weights is not None:
        model.to(precision.weights)
    if precision.operations == torch.bfloat16:
        round_frozen(model)
    step = Step(model, batch_for(model, case, device), precision)
    step()  # the optimiser's state comes with the first
    taken = peak_memory({"step": step}, step, device)["step"]
    measured = (expected.weights + expected.optimiser) / MIB + taken
    return {
        "expected": expected.peak / MIB,
        "measured": measured,
        "expected / measured": expected.peak / MIB / measured,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--large", action="store_true", help="larger sizes too, for a GPU")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    arguments = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    device = torch.device(arguments.device)
    results = {}
    for name, (experiment, files, settings) in (CASES | (LARGE_CASES if arguments.large else {})).items():
        case = resolve_at_paper_scale([f"experiments/{experiment}.yaml", *files], settings)
        results[name] = compare(case, device)
        print(f"{name:<42}", "  ".join(f"{key} {value:.4g}" for key, value in results[name].items()), flush=True)
    if arguments.out:
        arguments.out.write_text(
            json.dumps({"device": str(device), "torch": torch.__version__, "mib": results}, indent=2)
        )


if __name__ == "__main__":
    main()

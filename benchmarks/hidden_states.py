"""What it costs to keep hidden states: none, nine as distillation does, or all: python benchmarks/hidden_states.py.

A Llama with random weights: without gradients, where what is kept is all that differs, and in a training step. All
three alternate, so that other load on the machine hits them alike.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from lightning_modules.costs.peak_memory import peak_memory


class Pass(nn.Module):
    """One forward pass, and in training the backward pass."""

    def __init__(self, network: LlamaForCausalLM, embeddings: torch.Tensor, states: list[int] | bool) -> None:
        super().__init__()
        self.network, self.embeddings, self.states = network, embeddings, states

    def forward(self) -> None:
        """Compute; the states are held until the end, as distillation holds them."""
        output = self.network(
            inputs_embeds=self.embeddings, output_hidden_states=self.states, use_cache=False, logits_to_keep=1
        )
        if torch.is_grad_enabled():
            self.network.zero_grad()
            loss = output.logits.float().square().mean()
            for state in (output.hidden_states or ()) if self.states else ():
                if state is not None:
                    loss = loss + state.float().square().mean()
            loss.backward()


def seconds(function: Callable[[], None], device: torch.device) -> float:
    """Time one call."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronise()
    start = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--width", type=int, default=256, help="of the Llama")
    parser.add_argument("--layers", type=int, default=32, help="of the Llama; nine states are every fourth")
    parser.add_argument("--tokens", type=int, default=1024, help="of each of two sequences")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    arguments = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    width, layers = arguments.width, arguments.layers
    config = LlamaConfig(
        vocab_size=512, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, num_attention_heads=4
    )
    network = LlamaForCausalLM(config).to(device)
    embeddings = torch.randn(2, arguments.tokens, width, device=device)
    wanted: dict[str, list[int] | bool] = {"none": False, "nine": [*range(0, layers + 1, layers // 8)], "all": True}
    passes = {name: Pass(network, embeddings, states) for name, states in wanted.items()}
    results: dict[str, dict[str, dict[str, float]]] = {}
    for mode, context in (("forward", torch.no_grad), ("training", torch.enable_grad)):
        with context():
            times: dict[str, list[float]] = {name: [] for name in passes}
            for function in passes.values():
                function()  # warm
            for _ in range(arguments.repeats):
                for name, function in passes.items():
                    times[name].append(seconds(function, device))
            results[mode] = {
                name: {
                    "mib": peak_memory({name: function}, function, device)[name],
                    "ms": 1000 * median(times[name]),
                    "x none": median(times[name]) / median(times["none"]),
                }
                for name, function in passes.items()
            }
        for name, costs in results[mode].items():
            print(f"{mode:<9} {name:<5}", "  ".join(f"{key} {value:.4g}" for key, value in costs.items()), flush=True)
    if arguments.out:
        facts = {
            "device": str(device),
            "torch": torch.__version__,
            "arguments": {k: str(v) for k, v in vars(arguments).items()},
        }
        arguments.out.write_text(json.dumps(facts | results, indent=2))


if __name__ == "__main__":
    main()

"""Transformers' static cache against the dynamic one in greedy generation: python benchmarks/generation_cache.py.

A Llama with random weights continues long embeddings, in a batch that is padded and in one that is not. Answers end
before the longest that is allowed, for which a static cache has room from the beginning. Both caches alternate, so that
other load on the machine hits them alike; processor time is given too, which other load changes less (of one thread:
OMP_NUM_THREADS=1). Nothing is compiled: every batch has another length.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from lightning_modules.costs.peak_memory import peak_memory


class Generation(nn.Module):
    """Generation of one batch with one of the caches, which notes when each forward pass ends."""

    def __init__(self, network: LlamaForCausalLM, embeddings: Tensor, mask: Tensor, new: int, room: int) -> None:
        super().__init__()
        self.network, self.embeddings, self.mask, self.new, self.room = network, embeddings, mask, new, room
        self.wall: list[float] = []
        self.processor: list[float] = []

    def note(self, *_: object) -> None:
        """Note the time."""
        if self.embeddings.is_cuda:
            torch.cuda.synchronize()
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())

    def forward(self) -> Tensor:
        """Generate."""
        self.wall, self.processor = [], []
        length = self.embeddings.shape[1] + self.room
        cache = StaticCache(self.network.config, max_cache_len=length) if self.room else DynamicCache()
        hook = self.network.register_forward_hook(self.note)
        self.note()
        ids: Tensor = self.network.generate(
            inputs_embeds=self.embeddings, attention_mask=self.mask, max_new_tokens=self.new, do_sample=False,
            disable_compile=True, past_key_values=cache,
        )  # fmt: skip
        hook.remove()
        return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--width", type=int, default=512, help="of the Llama")
    parser.add_argument("--layers", type=int, default=8, help="of the Llama")
    parser.add_argument("--batch-size", type=int, default=8, help="sequences at a time")
    parser.add_argument("--tokens", type=int, default=1500, help="of each, before the answer")
    parser.add_argument("--new-tokens", type=int, default=16, help="of each answer")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="of the longest answer that is allowed")
    parser.add_argument("--repeats", type=int, default=3, help="timed batches of each")
    parser.add_argument("--dtype", default="float32", help="of weights and cache")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    arguments = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048, hidden_size=arguments.width, intermediate_size=3 * arguments.width,
        num_hidden_layers=arguments.layers, num_attention_heads=max(1, arguments.width // 64), bos_token_id=None,
        eos_token_id=None, pad_token_id=0, max_position_embeddings=arguments.tokens + arguments.max_new_tokens,
    )  # fmt: skip
    network = LlamaForCausalLM(config).to(device, dtype).eval()
    embeddings = torch.randn(arguments.batch_size, arguments.tokens, arguments.width, device=device, dtype=dtype)
    whole = torch.ones(arguments.batch_size, arguments.tokens, dtype=torch.int64, device=device)
    padded = whole.clone()
    for row, mask in enumerate(padded):
        mask[: row * arguments.tokens // (4 * arguments.batch_size)] = 0
    results: dict[str, dict[str, float]] = {}
    for filling, mask in (("padded", padded), ("unpadded", whole)):
        ways = {
            name: Generation(network, embeddings, mask, arguments.new_tokens, room)
            for name, room in (("dynamic", 0), ("static", arguments.max_new_tokens))
        }
        answers = [way() for way in ways.values()]  # warm
        numbers: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
        for _ in range(arguments.repeats):
            for name, way in ways.items():
                way()
                further = len(way.wall) - 2
                numbers[name].append(
                    tuple(
                        value
                        for times in (way.wall, way.processor)
                        for value in (times[1] - times[0], 1000 * (times[-1] - times[1]) / further)
                    )
                )
        for name, way in ways.items():
            names = ("first token s", "further token ms", "first token processor s", "further token processor ms")
            result = dict(zip(names, map(median, zip(*numbers[name], strict=True)), strict=True))
            result["peak mib"] = peak_memory({name: way}, way, device)[name]
            result["same answers"] = (answers[0] == answers[1]).float().mean().item()
            results[f"{filling}, {name}"] = result
            print(f"{filling:<9} {name:<8}", "  ".join(f"{k} {v:.4g}" for k, v in result.items()), flush=True)
    if arguments.out:
        facts = {"torch": torch.__version__, "arguments": {k: str(v) for k, v in vars(arguments).items()}}
        arguments.out.write_text(json.dumps(facts | results, indent=2))


if __name__ == "__main__":
    with torch.no_grad():
        main()

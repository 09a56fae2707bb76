"""What batches of similar samples save, and what arranging them takes: python benchmarks/batch_padding.py.

As many records as Valley-702K has, each about a clip of its own, with texts of 1 to 149 words and pictures of the usual
shapes in shares that are assumed (60 % 16:9, 25 % 4:3, 10 % upright 9:16, 5 % square); a twentieth of the records is
text alone. Counted are the positions of a padded batch that hold nothing, and how much longer the device with the most
tokens computes than the mean of all. No clip is opened and nothing is trained.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from datamodules.batching import Batching, RandomBatches, SeededOrder, SimilarBatches
from datamodules.checking.media_facts import NoManifest
from datamodules.records import Record, RecordStore, RecordTable
from datamodules.records.record import Turn
from datamodules.sample_sizes import ClipShapes, SampleSizes, sample_sizes
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.sampling import OfficialSampler

PICTURES = {"16x9": (640, 360), "4x3": (640, 480), "9x16": (360, 640), "1x1": (480, 480)}
SHARES = (0.60, 0.25, 0.10, 0.05)
TEXT_ALONE = 0.05
SYSTEM_TOKENS, LETTERS_PER_TOKEN = 50, 4


class Known(NoManifest):
    """Knows the shape of a clip by its name, as a manifest does by its content."""

    def of(self, clip: Path) -> ClipFacts:
        """Return what its folder's name says."""
        width, height = PICTURES[clip.parent.name]
        return ClipFacts(clip.name, 1, 1, width=width, height=height, frames=300, fps=30.0)


def make_records(count: int) -> RecordTable:
    """Return records by chance."""
    random = np.random.default_rng(0)
    names = random.choice([*PICTURES], count, p=SHARES)
    words = random.integers(1, 150, count)
    alone = random.random(count) < TEXT_ALONE
    clips = [None if alone[n] else Path(f"/media/{names[n]}/{n}.mp4") for n in range(count)]
    turns = [(Turn("Describe it.", "word " * number),) for number in words]
    return RecordTable(RecordStore(Record(str(n), clips[n], turns[n]) for n in range(count)))


def tokens(sizes: SampleSizes) -> np.ndarray:
    """Return about how many tokens each sample has with its clip, whose windows are of 2 x 2 patches."""
    frames, rows, columns = sizes.shapes.T
    visual = frames * (1 + rows // 2 * (columns // 2 + 1))
    return np.where(frames, visual, 0) + SYSTEM_TOKENS + sizes.text // LETTERS_PER_TOKEN


def measure(
    batching: Batching, sizes: Callable[[], SampleSizes], count: int, per_device: int, devices: int
) -> dict[str, float]:
    """Return seconds to arrange an epoch, and what its batches waste."""
    at_once = per_device * devices
    arrange = partial(batching.arrange, sizes=sizes, at_once=at_once)
    start = time.perf_counter()
    order = np.array(list(SeededOrder(count, 0, arrange=arrange)))
    seconds = time.perf_counter() - start
    whole = order[: count - count % at_once].reshape(-1, per_device, devices)  # device r takes every n-th from r on
    lengths = tokens(sizes())[whole]
    padded = lengths.max(1, keepdims=True)
    work = padded[:, 0] * per_device
    return {
        "arranging, s": seconds,
        "padding, share of positions": float(1 - lengths.sum() / (padded.sum() * per_device)),
        "longest device against the mean": float((work.max(1) / work.mean(1)).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=702_000)
    parser.add_argument("--per-device", type=int, default=8, help="samples of a batch")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    records = make_records(given.records)
    start = time.perf_counter()
    geometry = CanvasGeometry(448, 14, 2, (0, 0, 0))
    sizes = sample_sizes(records, ClipShapes(Known(), OfficialSampler(8), geometry))
    results: dict[str, object] = {"finding sizes, s": time.perf_counter() - start}
    for batching in (RandomBatches(), SimilarBatches()):
        results[str(batching)] = measure(batching, lambda: sizes, given.records, given.per_device, given.devices)
    print(json.dumps(results, indent=2))
    if given.out:
        given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Measures start-up and memory of a large file of conversations: python benchmarks/records_memory.py.

A file as large as Valley-702K is made, loaded (all checks included), and gone through once by loader processes that
look at the records alone. `list` is what a plain list of records would take in place of the table. Linux only.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from datamodules.batching import SeededOrder
from datamodules.processes import start_worker
from datamodules.records import Record, load_records

MIB = 2**20
WORDS = [
    "a",
    "the",
    "man",
    "woman",
    "dog",
    "red",
    "slowly",
    "turns",
    "walks",
    "camera",
    "then",
    "behind",
    "with",
    "street",
]


class Lengths(Dataset[int]):
    """The length of what is said in a record: as much as can be known without a clip and a tokenizer."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> int:
        return sum(len(turn.question) + len(turn.answer) for turn in self.records[index].turns)


def write_file(path: Path, records: int, clips: int, words: int) -> None:
    """Write conversations of one turn and `words` words on average about `clips` files, a thousand to a folder."""
    for number in range(clips):
        clip = path.parent / name_of(number)
        if number % 1000 == 0:
            clip.parent.mkdir(parents=True)
        clip.touch()
    chance = random.Random(0)
    with path.open("w") as file:
        for number in range(records):
            answer = " ".join(chance.choices(WORDS, k=chance.randint(1, 2 * words - 1)))
            turns = [{"from": "human", "value": "<video>\nDescribe the following video in detail."},
                     {"from": "gpt", "value": answer}]  # fmt: skip
            item = {"id": f"{number:08d}", "video": name_of(number % clips), "conversations": turns}
            file.write(("[" if number == 0 else ",\n") + json.dumps(item, indent=2))
        file.write("]")


def name_of(clip: int) -> str:
    return f"valley/{clip // 1000:06d}/{10**9 + clip}.mp4"


def memory(process: int) -> dict[str, float]:
    """Return MiB of a process: resident, with shared pages in equal parts, and of its own alone."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    own = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return {"resident": sizes["Rss"], "proportional": sizes["Pss"], "own": own}


def measure(path: Path, kind: str, workers: int, results: multiprocessing.Queue) -> None:
    """Load the file, go through it, and hand over seconds and MiB."""
    before = memory(os.getpid())["resident"]
    start, cpu = time.perf_counter(), time.process_time()
    records = load_records(path, path.parent)
    if kind == "list":
        records = list(records)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    loaded = memory(os.getpid())["resident"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    warnings.filterwarnings("ignore", "This DataLoader will create")
    loader = DataLoader(
        Lengths(records),
        batch_size=256,
        num_workers=workers,
        sampler=SeededOrder(len(records), seed=0),
        persistent_workers=True,
        collate_fn=sum,
        worker_init_fn=start_worker,
        multiprocessing_context="fork",  # the default on Linux, but not in a process that was spawned itself
    )
    letters = sum(loader)
    children = [memory(child.pid) for child in multiprocessing.active_children()]
    assert len(children) == workers
    results.put({
        "letters": letters,
        "start-up, s": seconds,
        "of which computing, s": cpu,
        "before loading, MiB": before,
        "peak of loading, MiB": peak,
        "loaded, MiB": loaded,
        "main process, MiB": memory(os.getpid()),
        "largest worker, MiB": {key: max(child[key] for child in children) for key in children[0]},
        "all processes together, MiB": sum(part["proportional"] for part in [memory(os.getpid()), *children]),
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=702_000)
    parser.add_argument("--clips", type=int, default=100, help="different files that the records are about")
    parser.add_argument("--words", type=int, default=75, help="of an answer, on average")
    parser.add_argument("--workers", type=int, default=8, help="loader processes")
    parser.add_argument("--kinds", nargs="+", default=["table", "list"], choices=["table", "list"])
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    given = parser.parse_args()
    all_results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "records.json")
        write_file(path, given.records, given.clips, given.words)
        print(f"{given.records} records about {given.clips} clips: {path.stat().st_size / MIB:.0f} MiB of JSON")
        context = multiprocessing.get_context("spawn")
        for kind in given.kinds:
            results = context.Queue()
            process = context.Process(target=measure, args=(path, kind, given.workers, results))
            process.start()
            all_results[kind] = results.get()
            process.join()
            print(kind, json.dumps(all_results[kind], indent=2), flush=True)
    if given.out:
        given.out.write_text(json.dumps(all_results, indent=2))


if __name__ == "__main__":
    main()

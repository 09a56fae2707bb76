"""Clips per second of the loader alone, against a plain one: python benchmarks/loader_throughput.py.

Both read the same real clips with the same sampler (8 frames by the official rule) into the same pixels, for the
model's view of 448 pixels and in a second setting for the teacher's of 224 too: in one process with one thread, where
what counts is the time of the processor, and by two workers, where it is that of the clock. Passes over all clips
alternate, so that other load on the machine hits all alike. `both` is with Manifest and TorchBicubic, whose pixels are
not all the same. The plain one (`plain_loader.py`) normalises into floats,
which is left to the model's device here; this one finds damage, and tokenises. Then it says where this one's time goes.
"""

import argparse
import cProfile
import json
import logging
import pstats
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from benchmarks.plain_loader import FILL, MEAN, STD, STUDENT, TEACHER, PlainClips, plain_frames, stack_plain
from components.language_models.prompt import ShortPrompt
from components.language_models.text import ChatText
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from datamodules.checking.check import check
from datamodules.checking.media_facts import Manifest, MediaFacts, NoManifest
from datamodules.clip_dataset import ClipDataset, Sample, collate
from datamodules.records import Record
from datamodules.records.record import Turn
from datamodules.video.augmentation import NoAugmentation
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_cache import DiskFrameCache, FrameCache, NoCache
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.media_policy import ErrorOnBadMedia
from datamodules.video.open import open_video
from datamodules.video.reader import VideoError
from datamodules.video.resizing import PILLOW_BICUBIC, Resizing, TorchBicubic
from datamodules.video.sampling import FrameSampler, OfficialSampler
from datamodules.video.shown_frames import TrueFrames

VIDEOS = Path(__file__).parent.parent / "tests" / "data" / "videos"
SETTINGS = {"model's view": [STUDENT], "model's and teacher's": [STUDENT, TEACHER]}
STRIDES = {STUDENT: 2, TEACHER: 1}  # patches of 14 pixels per unit
TURNS = (Turn("What happens in this video? Describe it in detail.", "A person shows a book, and then reads in it."),)
# Where each step of ours is spent: file and name of the functions whose time it is, less what they call of another.
STEPS = {
    "opening": [("container.py", "__init__"), ("image_reader.py", "open_image"), ("decord_reader.py", "__init__"),
                ("open.py", "_groups_in_packets"), ("open.py", "_require_content"), ("damage.py", "damaged_element")],
    "decoding": [("container.py", "decode"), ("seeking_reader.py", "_pictures")],
    "colours": [("pyav_reader.py", "_picture")],
    "decoding by seeking, and colours": [("decord_reader.py", "_read")],
    "resizing": [("resizing.py", "__call__")],
    "hashing, reading what is kept": [("frame_cache.py", "_read"), ("media_facts.py", "content")],
    "packing": [("clip_dataset.py", "collate")],
    "tokenising": [("text.py", "encode")],
}  # fmt: skip
Collate = Callable[[Any], Any]


def exact_clips(sampler: FrameSampler) -> tuple[list[Path], dict[str, str]]:
    """Return the clips whose sampled frames decord gets right, and why the others are left out."""
    exact, others = [], {}
    for path in sorted(path for path in VIDEOS.iterdir() if path.is_file() and path.suffix != ".json"):
        try:
            with open_video(path) as reader:
                right = reader.frames(sampler.indices(len(reader), reader.fps))
            same = np.array_equal(plain_frames(path, sampler), right)
        except (VideoError, RuntimeError) as error:
            others[path.name] = str(error)
            continue
        if same:
            exact.append(path)
        else:
            others[path.name] = "decord's frames differ"
    return exact, others


def ours(
    clips: Sequence[Path],
    sampler: FrameSampler,
    views: Sequence[tuple[int, int]],
    known: MediaFacts,
    cache: FrameCache,
    resizing: Resizing = PILLOW_BICUBIC,
) -> ClipDataset:
    """Return the dataset of a training run."""
    geometries = [CanvasGeometry(canvas, 14, STRIDES[canvas, unit], FILL, resizing) for canvas, unit in views]
    return ClipDataset(
        [Record(path.name, path, TURNS) for path in clips], sampler, geometries,
        ChatText(build_tiny_tokenizer(), ShortPrompt()), ErrorOnBadMedia(), DamagedVideo.REFUSE, known, TrueFrames(),
        cache, NoAugmentation(), seed=0,
    )  # fmt: skip


def loaders(
    clips: Sequence[Path], views: Sequence[tuple[int, int]], folder: Path
) -> dict[str, tuple[Dataset, Collate]]:
    """Return what is compared, by name; frames are kept already where they are."""
    sampler = OfficialSampler(8)
    check({path.name: path for path in clips}, folder / "check", sampler.frames, processes=1)
    manifest = Manifest(str(folder / "check" / "manifest.jsonl"))
    manifest.check(clips, VIDEOS)
    cache = DiskFrameCache(str(folder / "kept"))
    plain = PlainClips(clips, sampler, views)
    for known, kept in ((NoManifest(), cache), (NoManifest(), cache), (manifest, NoCache())):
        require_equal(plain, ours(clips, sampler, views, known, kept))
    return {
        "plain": (plain, stack_plain),
        "ours": (ours(clips, sampler, views, NoManifest(), NoCache()), collate),
        "ours, Manifest": (ours(clips, sampler, views, manifest, NoCache()), collate),
        "ours, TorchBicubic": (ours(clips, sampler, views, NoManifest(), NoCache(), TorchBicubic()), collate),
        "ours, both": (ours(clips, sampler, views, manifest, NoCache(), TorchBicubic()), collate),
        "ours, DiskFrameCache": (ours(clips, sampler, views, NoManifest(), cache), collate),
    }


def require_equal(plain: PlainClips, dataset: ClipDataset) -> None:
    """Stop if a clip is left out, or a pixel or the mask of a view is not that of the plain one."""
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample, Sample):
            raise RuntimeError(sample.reason)
        for view, expected in zip(sample.views, plain[index], strict=True):
            top, left, height, width = (view.rectangle * 14).tolist()
            mask = torch.zeros_like(expected[:, 3:])
            mask[..., top : top + height, left : left + width] = 1
            if not torch.equal(torch.cat([(view.frames.float() / 255 - MEAN) / STD, mask], 1), expected):
                raise RuntimeError(f"{sample.facts.id}: the two loaders give other pixels")


def rates(taken: dict[str, list[float]], clips: int) -> dict[str, dict[str, float]]:
    """Return clips per second, and how they compare with the plain ones."""
    speeds = {name: [clips / seconds for seconds in passes] for name, passes in taken.items()}
    plain = median(speeds["plain"])
    return {
        name: {"median": median(speed), "min": min(speed), "max": max(speed), "ratio to plain": median(speed) / plain}
        for name, speed in speeds.items()
    }


def per_core(compared: dict[str, tuple[Dataset, Collate]], repeats: int) -> dict[str, Any]:
    """Time passes in this process."""
    taken: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(repeats):
        for name, (dataset, together) in compared.items():
            start = time.process_time()
            for index in range(len(dataset)):
                together([dataset[index]])
            taken[name].append(time.process_time() - start)
    return rates(taken, len(dataset))


def by_workers(compared: dict[str, tuple[Dataset, Collate]], repeats: int, workers: int) -> dict[str, Any]:
    """Time passes of a DataLoader whose workers have started."""
    running = {
        name: DataLoader(
            dataset, num_workers=workers, collate_fn=together, persistent_workers=True, worker_init_fn=one_thread
        )
        for name, (dataset, together) in compared.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in compared}
    for repeat in range(repeats + 1):
        for name, loader in running.items():
            start = time.perf_counter()
            for _ in loader:
                pass
            if repeat > 0:  # the first starts the workers
                taken[name].append(time.perf_counter() - start)
    return rates(taken, len(loader))


def one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def breakdown(dataset: Dataset, together: Collate) -> dict[str, float]:
    """Return the share of each step in the time of a pass."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    for index in range(len(dataset)):
        together([dataset[index]])
    profile.disable()
    stats = pstats.Stats(profile, stream=StringIO())
    spent = {function: 0.0 for functions in STEPS.values() for function in functions}
    for (file, _, name), (_, _, _, seconds, callers) in stats.stats.items():
        if (Path(file).name, name) in spent:
            spent[Path(file).name, name] += seconds
            for (caller_file, _, caller), (_, _, _, of_caller) in callers.items():
                if (Path(caller_file).name, caller) in spent:
                    spent[Path(caller_file).name, caller] -= of_caller
    shares = {step: sum(spent[function] for function in functions) for step, functions in STEPS.items()}
    shares["the rest: copying, freeing frames"] = stats.total_tt - sum(shares.values())
    return {step: seconds / stats.total_tt for step, seconds in shares.items() if seconds > 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore", "This DataLoader will create")
    clips, others = exact_clips(OfficialSampler(8))
    report: dict[str, Any] = {"clips": [path.name for path in clips], "left out": others, "torch": torch.__version__}
    print(f"{len(clips)} clips; left out: {others}")
    for setting, views in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            compared = loaders(clips, views, Path(folder))
            report[setting] = results = {
                # First, since texts are tokenised once.
                "shares of the time": {name: breakdown(*each) for name, each in compared.items() if name != "plain"},
                "clips per second of one core": per_core(compared, given.repeats),
                f"clips per second of {given.workers} workers": by_workers(compared, given.repeats, given.workers),
            }
        for table, rows in results.items():
            for name, row in rows.items():
                print(f"{setting}, {table}, {name:<21}", {key: float(f"{value:.3g}") for key, value in row.items()})
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

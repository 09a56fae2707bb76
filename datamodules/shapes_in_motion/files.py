"""The splits of the benchmark as video files, which are encoded once, kept, and completed if some are missing.

A clip gets its final name only when it is complete, and its content depends only on settings, seed, split and index.
So building may be interrupted at any time or run twice at the same time: files are complete or absent, and two writers
write the same content.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import sys
import time
from concurrent.futures import as_completed
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm  # type: ignore[import-untyped]

from components.files import UNFINISHED, write_whole
from datamodules.processes import submit_uninterrupted, worker_pool
from datamodules.shapes_in_motion.answers import deal_answers
from datamodules.shapes_in_motion.render import render
from datamodules.shapes_in_motion.scene import sample_scene
from datamodules.shapes_in_motion.settings import SceneSettings

GENERATOR_VERSION = 10
"""Increased whenever the same settings and seed give different clips or answers, so that old files are not reused."""

MANIFEST = "manifest.json"

CHUNK = 10
"""Clips per unit of parallel work; after an interrupt, units in progress are finished."""

WORTH_A_PROCESS = 50
"""Number of missing clips that is worth the start of one more process."""

ABANDONED_AFTER = 3600.0
"""Seconds after which an unfinished file is abandoned: writing one takes milliseconds."""


def encode(frames: UInt8[np.ndarray, "frames height width 3"], fps: int) -> bytes:
    """Encode RGB frames as H.264 in MP4, with nearly lossless luminance."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class _Split:
    """The folder of a split, and everything that decides its clips."""

    folder: Path
    name: str
    settings: SceneSettings
    seed: int

    def path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.mp4"

    def content(self, index: int) -> bytes:
        scene = sample_scene(self.settings, self.seed, self.name, index)
        return encode(render(scene), scene.fps)


def build_split(root: Path, split: str, clips: int, settings: SceneSettings, seed: int, workers: int) -> list[Path]:
    """Generate those of the first `clips` clips of a split that are missing, and return the paths of all of them.

    Args:
        root: folder of all generated clips.
        split: "train", "validation" or "test".
        clips: number of clips.
        settings: appearance of the scenes.
        seed: seed of all clips.
        workers: number of processes that render and encode.

    Raises:
        ValueError: `clips` or `workers` is below 1, the split is unknown, or no scene can satisfy the settings.
        OSError: the disk is full (the message says how much space is needed), or the folder cannot be written.
    """
    if clips < 1 or workers < 1:
        raise ValueError(f"a split of ShapesInMotion needs at least 1 clip and 1 worker; got {clips} and {workers}")
    sample_scene(settings, seed, split, 0)  # a wrong split, seed or setting fails here, before a folder is created
    files = _Split(split_folder(root, settings, seed, split), split, settings, seed)
    files.folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(files.folder)
    present = {entry.name for entry in os.scandir(files.folder)}
    missing = [index for index in range(clips) if files.path(index).name not in present]
    try:
        _write_clips(files, missing, workers)
        if missing or MANIFEST not in present:
            _write_manifest(files)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        left = sum(not files.path(index).exists() for index in missing)
        needed = (left + 1) * len(files.content(0)) / 2**20
        raise OSError(
            error.errno,
            f"no space left for {left} of {clips} clips: make room for about {needed:.1f} MiB (finished clips are "
            "kept) or choose another `root`",
            str(files.folder),
        ) from None
    return [files.path(index) for index in range(clips)]


def split_folder(root: Path, settings: SceneSettings, seed: int, split: str) -> Path:
    """Return the folder of a split; its name contains a hash of everything that decides its content."""
    identity = json.dumps(_identity(settings, seed), sort_keys=True)
    return root / hashlib.sha256(identity.encode()).hexdigest()[:16] / split


def _identity(settings: SceneSettings, seed: int) -> dict[str, object]:
    return {
        "generator": GENERATOR_VERSION,
        "numpy": np.__version__,  # a release of numpy may change the streams of its generators
        "seed": seed,
        "settings": dataclasses.asdict(settings),
    }


def _write_clips(split: _Split, indices: list[int], workers: int) -> None:
    """Render, encode and write clips, in this process if there are too few to be worth starting others."""
    chunks = [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]
    processes = min(workers, len(indices) // WORTH_A_PROCESS)
    with tqdm(total=len(indices), desc=f"{split.name} clips", unit="clip", file=sys.stderr, disable=not indices) as bar:
        if processes <= 1:
            for index in indices:
                _write_chunk(split, [index])
                bar.update()
            return
        # After an interrupt or an error, no new chunk is started; chunks in progress are finished.
        with worker_pool(processes) as pool:
            for done in as_completed([submit_uninterrupted(pool, _write_chunk, split, chunk) for chunk in chunks]):
                bar.update(done.result())


def _write_chunk(split: _Split, indices: list[int]) -> int:
    for index in indices:
        path = split.path(index)
        if not path.exists():  # another process may build the same split
            write_whole(path, split.content(index), flush=False)  # it can be generated again
    return len(indices)


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER:
                path.unlink()
        except FileNotFoundError:  # finished or removed by another process in the meantime
            continue


def _write_manifest(split: _Split) -> None:
    """Write a list of the clips in the folder with their answers, for people and other programs."""
    indices = sorted(int(path.stem) for path in split.folder.glob("*.mp4"))
    clips = {split.path(index).name: vars(deal_answers(split.seed, split.name, index)) for index in indices}
    manifest = {**_identity(split.settings, split.seed), "split": split.name, "clips": clips}
    write_whole(split.folder / MANIFEST, json.dumps(manifest, indent=1), flush=False)

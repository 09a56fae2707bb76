"""ShapesInMotion on disk: files show what was drawn, are cached by content, and survive every kind of accident."""

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.shapes_in_motion import SceneSettings, build_split, deal_answers, render, sample_scene
from datamodules.shapes_in_motion.files import ABANDONED_AFTER

SETTINGS = SceneSettings()
REPOSITORY = Path(__file__).parents[3]


def decode(path_or_file):
    with av.open(path_or_file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_decoded_clip_is_close_to_the_rendered_one(tmp_path):
    for index, path in enumerate(build_split(tmp_path, "train", 9, SETTINGS, seed=0, workers=1)):
        rendered, decoded = render(sample_scene(SETTINGS, 0, "train", index)), decode(str(path))
        assert decoded.shape == rendered.shape
        assert np.abs(decoded.astype(int) - rendered).mean() < 4
        assert np.abs(decoded.mean(axis=-1) - rendered.mean(axis=-1)).mean() < 2  # luminance is nearly exact


def test_frames_fps_and_size_of_the_files_follow_the_settings(tmp_path):
    settings = SceneSettings(frame_sizes=((96, 128),), frames=21, fps=5)
    (path,) = build_split(tmp_path, "train", 1, settings, seed=0, workers=1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 5
    assert decode(str(path)).shape == (21, 96, 128, 3)


def test_settings_and_seed_have_folders_of_their_own_and_growth_keeps_clips(tmp_path):
    few = build_split(tmp_path, "train", 3, SETTINGS, seed=0, workers=1)
    first = few[0].read_bytes()
    modified = few[0].stat().st_mtime_ns
    more = build_split(tmp_path, "train", 5, SETTINGS, seed=0, workers=1)
    assert more[:3] == few
    assert few[0].stat().st_mtime_ns == modified
    others = [
        build_split(tmp_path, "train", 1, SETTINGS, seed=1, workers=1)[0],
        build_split(tmp_path, "train", 1, dataclasses.replace(SETTINGS, noise=5.0), seed=0, workers=1)[0],
        build_split(tmp_path, "validation", 1, SETTINGS, seed=0, workers=1)[0],
    ]
    assert len({path.parent for path in [few[0], *others]}) == 4
    assert all(path.read_bytes() != first for path in others)


def test_manifest_lists_all_clips_with_their_answers(tmp_path):
    folder = build_split(tmp_path, "train", 5, SETTINGS, seed=0, workers=1)[0].parent
    build_split(tmp_path, "train", 2, SETTINGS, seed=0, workers=1)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["clips"]) == [f"{index:06d}.mp4" for index in range(5)]
    assert manifest["clips"]["000004.mp4"]["by_family"] == deal_answers(0, "train", 4).by_family
    assert manifest["settings"]["window"] == SETTINGS.window


@pytest.mark.long
def test_parallel_build_gives_the_same_files(tmp_path):
    alone = build_split(tmp_path / "alone", "train", 104, SETTINGS, seed=0, workers=1)[0].parent
    together = build_split(tmp_path / "together", "train", 104, SETTINGS, seed=0, workers=2)[0].parent
    assert contents(alone) == contents(together)


def test_interrupted_build_is_completed_not_redone(tmp_path):
    paths = build_split(tmp_path, "train", 8, SETTINGS, seed=0, workers=1)
    folder = paths[0].parent
    whole = contents(folder)
    kept = paths[0].stat().st_mtime_ns
    for path in (paths[2], paths[7], folder / "manifest.json"):
        path.unlink()
    abandoned, running = folder / ".000002.mp4.0123abcd.unfinished", folder / ".000003.mp4.4567cdef.unfinished"
    for path in (abandoned, running):
        path.write_bytes(b"half a cl")
    long_ago = time.time() - ABANDONED_AFTER - 1
    os.utime(abandoned, (long_ago, long_ago))
    build_split(tmp_path, "train", 8, SETTINGS, seed=0, workers=1)
    assert not abandoned.exists()
    assert running.exists()  # perhaps another process is about to rename it
    running.unlink()
    assert contents(folder) == whole
    assert paths[0].stat().st_mtime_ns == kept


@pytest.mark.long
def test_two_processes_build_the_same_split_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path / "shared", "train", 40, SETTINGS, 0, 1)
    processes = [context.Process(target=build_split, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    alone = build_split(tmp_path / "alone", "train", 40, SETTINGS, seed=0, workers=1)[0].parent
    assert contents(build_split(*arguments)[0].parent) == contents(alone)


BUILD = """
from pathlib import Path
from datamodules.shapes_in_motion import SceneSettings, build_split
if __name__ == "__main__":
    build_split(Path({root!r}), "train", 2000, SceneSettings(), 0, 2)
"""


def interrupt_build(tmp_path, prepare, signal_number, send, after):
    """Start a parallel build in a session of its own, interrupt it when `after` clips exist; return what it leaves."""
    script = tmp_path / "build.py"
    script.write_text(BUILD.format(root=str(tmp_path / "clips")))
    build = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        deadline = time.monotonic() + 60
        clips = tmp_path / "clips"
        while not clips.exists() or len(list(clips.rglob("*.mp4"))) < after:
            assert time.monotonic() < deadline, "no clips were made"
            time.sleep(0.02)
        time.sleep(0.3)  # without clips yet, the workers are now starting
        send(build.pid, signal_number)
        _, errors = build.communicate(timeout=60)
        while True:  # until the last worker is gone
            assert time.monotonic() < deadline + 60, "workers outlive their parent"
            try:
                os.killpg(build.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(build.pid, signal.SIGKILL)
    made = list(clips.rglob("*.mp4"))
    assert after <= len(made) < 2000
    assert all(len(decode(str(clip))) == SETTINGS.frames for clip in made)
    return clips, errors


@pytest.mark.long
@pytest.mark.parametrize("after", [0, 5])
def test_control_c_ends_a_build_with_one_traceback_and_whole_files(tmp_path, hear_control_c, after):
    # A terminal signals the whole group.
    clips, errors = interrupt_build(tmp_path, hear_control_c, signal.SIGINT, os.killpg, after)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not list(clips.rglob("*.unfinished"))


@pytest.mark.long
def test_killed_build_leaves_whole_files_and_no_workers(tmp_path):
    interrupt_build(tmp_path, None, signal.SIGKILL, os.kill, after=5)


def test_full_disk_names_folder_and_needed_space_and_leaves_no_half_file(tmp_path, monkeypatch):
    write_bytes, written = Path.write_bytes, []

    def write_until_full(path, data):
        if len(written) == 3:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_until_full)
        with pytest.raises(OSError, match=r"no space left for 7 of 10 clips: make room for about 0\.\d MiB") as caught:
            build_split(tmp_path, "train", 10, SETTINGS, seed=0, workers=1)
    assert caught.value.errno == errno.ENOSPC
    folder = Path(caught.value.filename)
    assert sorted(path.name for path in folder.iterdir()) == ["000000.mp4", "000001.mp4", "000002.mp4"]
    assert len(build_split(tmp_path, "train", 10, SETTINGS, seed=0, workers=1)) == 10

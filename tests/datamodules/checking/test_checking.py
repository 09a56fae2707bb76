"""What is found in single clips, what is thought of them, and how a manifest is kept: all on real files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.checking.check import MANIFEST, check
from datamodules.checking.examine import examine
from datamodules.checking.manifest import ManifestError, data_hash, read_manifest
from datamodules.checking.report import find_duplicates
from datamodules.checking.verdict import judge
from datamodules.processes import results_of_processes
from datamodules.video import pyav_reader
from datamodules.video.clip_facts import ClipFacts
from tests.datamodules.crashing import crash_at_three

VIDEOS = Path(__file__).parents[2] / "data" / "videos"
EXPECTED = json.loads((VIDEOS / "expected_frames.json").read_text())
NAMES = sorted(path.relative_to(VIDEOS).as_posix() for path in VIDEOS.rglob("*.*") if path.suffix != ".json")
CANNOT = "cannot be opened as a video: Invalid data found when processing input"
# What is not ok, and why.
VERDICTS = {
    "keyboard_rot270.mov": ("suspicious", {"few frames": "3 of 8", "short": "0.10 s"}),
    "toy_frog_vfr.mp4": ("suspicious", {"uneven times": "off by 13%"}),
    "hard/no_duration.webm": (
        "suspicious",
        {"no duration": "", "nearly black": "grey level 3 of 255 at most"},
    ),
    "hard/one_frame_mpeg4.mp4": (
        "suspicious",
        {"few frames": "1 of 8", "short": "0.04 s", "nearly black": "grey level 1 of 255 at most"},
    ),
    "hard/truncated.mkv": ("suspicious", {"ends early": "1.57 s of 3.63 s"}),
    "hard/corrupted_mid_stream.mp4": ("damaged", {"decodes in part": "decoding fails after 28 of 50 frames"}),
    "hard/truncated_mid_mdat.mp4": ("damaged", {"decodes in part": "decoding fails after 99 of 234 frames"}),
    "hard/audio_only.mp4": ("unreadable", {"no video stream": ""}),
    "hard/not_a_video.mp4": ("unreadable", {CANNOT: ""}),
    "hard/truncated_no_moov.mp4": ("unreadable", {CANNOT: ""}),
}


@pytest.fixture(scope="module")
def facts():
    return {name: examine((VIDEOS / name, name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_verdicts(facts, name):
    judged = judge(facts[name], wanted=8)
    verdict, reasons = VERDICTS.get(name, ("ok", {}))
    assert judged.verdict == verdict, judged.why()
    assert list(judged.reasons) == list(reasons)
    for reason, words in reasons.items():
        assert judged.reasons[reason].startswith(words)


@pytest.mark.parametrize("name", NAMES)
def test_counts_and_sizes_are_those_that_were_recorded(facts, name):
    recorded = EXPECTED[f"videos/{name}"]
    assert facts[name].frames == (recorded["frames"] if recorded["decodable"] else 0)
    if recorded["decodable"]:
        assert (facts[name].width, facts[name].height) == (recorded["display_width"], recorded["display_height"])


def test_facts_of_a_phone_clip(facts):
    clip = facts["fire2_rot180_vfr.mp4"]
    assert (clip.codec, clip.rotation, clip.header_frames, clip.uneven) == ("h264", 180, 25, True)
    assert not facts["asl_book.mkv"].uneven  # although Matroska rounds to milliseconds
    assert (facts["asl_walk.avi"].reader, facts["asl_walk.avi"].reader_reason) == ("pyav", "container avi")
    assert facts["bottle_detection.mp4"].reader == "decord"


def test_a_reader_that_counts_otherwise_is_not_exact(monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    monkeypatch.setattr("datamodules.checking.examine.DecordReader.__len__", lambda reader: 7)
    clip = examine((VIDEOS / "chaplin.mp4", "chaplin.mp4"))
    assert (clip.reader, clip.reader_reason) == ("pyav", "decord counts 7 frames, but 241 can be decoded")


@pytest.mark.parametrize(
    ("brightness", "moving", "reason"), [(120, False, "still"), (200, None, "one colour"), (120, True, None)]
)
def test_pictures_in_which_nothing_happens(tmp_path, brightness, moving, reason):
    with av.open(str(tmp_path / "clip.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(40):
            picture = np.full((64, 64, 3), brightness, np.uint8)
            if moving is not None:
                picture[:32, number * moving : number * moving + 20] = 0
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    judged = judge(examine((tmp_path / "clip.mp4", "clip.mp4")), wanted=8)
    assert list(judged.reasons) == ([reason] if reason else [])


def test_further_reasons(facts):
    sound = facts["toy_rabbit320.mp4"]
    for change, reason in (
        ({"header_frames": 200}, "more frames than the header"),
        ({"width": 7680, "height": 4320}, "huge picture"),
    ):
        assert list(judge(replace(sound, **change), 8).reasons) == [reason]
    assert list(judge(sound, wanted=235).reasons) == ["few frames"]


def test_duplicates_within_and_across_splits(facts):
    rabbit, pig, frog = (facts[name] for name in ("toy_rabbit320.mp4", "toy_pig.webm", "toy_frog_vfr.mp4"))
    copy, empty = replace(rabbit, path="copy.mp4"), ClipFacts("gone.mp4", 0, 0)
    leak, repeated = find_duplicates(
        {"train": [rabbit, pig, empty], "val": [copy, empty], "test": [frog, replace(frog, path="twice.mp4")]}
    )
    assert leak.splits == {"train": ["toy_rabbit320.mp4"], "val": ["copy.mp4"]} and leak.leaks
    assert repeated.splits == {"test": ["toy_frog_vfr.mp4", "twice.mp4"]} and not repeated.leaks
    assert not find_duplicates({"val": [rabbit], "test": [copy]})  # neither is learnt from


@pytest.fixture
def clips(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for name in ("keyboard_rot270.mov", "nasa_13013_rotated.mp4", "hard/not_a_video.mp4"):
        shutil.copy(VIDEOS / name, media)
    return {path.name: path for path in media.iterdir()}


def test_only_what_is_new_or_changed_is_examined(clips, tmp_path, in_this_process):
    first = check(clips, tmp_path / "out", 8, 1)
    assert (sorted(in_this_process), first.unchanged) == (sorted(clips), 0)
    lines = first.manifest.read_text().splitlines()
    assert json.loads(lines[0]) == {"clips": 3, "sha256": first.sha256}
    assert [json.loads(line)["path"] for line in lines[1:]] == sorted(clips)
    in_this_process.clear()
    again = check(clips, tmp_path / "out", 8, 1)
    assert (in_this_process, again.unchanged, again.sha256) == ([], 3, first.sha256)
    # Another sampler is another verdict, and no reason to decode anything.
    assert list(check(clips, tmp_path / "out", 99, 1).clips["nasa_13013_rotated.mp4"].reasons) == ["few frames"]
    os.utime(clips["keyboard_rot270.mov"])
    assert check(clips, tmp_path / "out", 8, 1).sha256 == first.sha256  # of contents, not of times
    assert in_this_process == ["keyboard_rot270.mov"]
    clips["keyboard_rot270.mov"].write_bytes(b"other")
    assert check(clips, tmp_path / "out", 8, 1).sha256 != first.sha256


def test_a_broken_last_line_is_left_out_and_said(clips, tmp_path, in_this_process, caplog):
    whole = check(clips, tmp_path / "out", 8, 1)
    content = whole.manifest.read_bytes()
    whole.manifest.write_bytes(content[:-20])
    in_this_process.clear()
    assert check(clips, tmp_path / "out", 8, 1).sha256 == whole.sha256
    assert len(in_this_process) == 1
    assert "its last line is broken off" in caplog.text
    assert whole.manifest.read_bytes() == content


def test_what_comes_after_a_broken_line_is_kept_by_a_second_kill(clips, tmp_path, in_this_process, monkeypatch):
    manifest = check(clips, tmp_path / "out", 8, 1).manifest
    manifest.write_bytes(manifest.read_bytes()[:-20])

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("datamodules.checking.check.finish", killed)
        check(clips, tmp_path / "out", 8, 1)
    assert set(read_manifest(manifest).clips) == set(clips)


@pytest.mark.parametrize("line", ["oops", "[1]", '{"path": "a.mp4"}', "{}"])
def test_another_broken_line_is_named(clips, tmp_path, in_this_process, line):
    manifest = check(clips, tmp_path / "out", 8, 1).manifest
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    with pytest.raises(ManifestError, match=r"manifest.jsonl, line 3: is not a line that check-data writes"):
        check(clips, tmp_path / "out", 8, 1)


ALL = f"""
import sys
from pathlib import Path
from datamodules.checking.check import check
root = Path({str(VIDEOS)!r})
if __name__ == "__main__":
    check({{name: root / name for name in {NAMES!r}}}, Path(sys.argv[1]), 8, 1)
"""


def wait_for_lines(file, count, process):
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.long
def test_a_killed_check_goes_on_and_examines_nothing_twice(tmp_path, in_this_process):
    process = subprocess.Popen([sys.executable, "-c", ALL, tmp_path], stderr=subprocess.DEVNULL)
    wait_for_lines(tmp_path / MANIFEST, 3, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = set(read_manifest(tmp_path / MANIFEST).clips)
    assert 3 <= len(done) < len(NAMES)
    checked = check({name: VIDEOS / name for name in NAMES}, tmp_path, 8, 1)
    assert sorted(in_this_process) == sorted(set(NAMES) - done)
    assert set(checked.clips) == set(NAMES)
    assert checked.sha256 == data_hash(checked.clips[name].facts for name in NAMES)


def test_a_crash_of_the_decoder_costs_one_clip():
    results = dict(results_of_processes(crash_at_three, range(6), 2))
    assert results == {0: 0, 1: 10, 2: 20, 3: None, 4: 40, 5: 50}


def test_names_that_are_no_text(tmp_path, in_this_process):
    name = os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(VIDEOS / "keyboard_rot270.mov", tmp_path / name)
    checked = check({name: tmp_path / name}, tmp_path / "out", 8, 1)
    assert list(read_manifest(checked.manifest).clips) == [name]

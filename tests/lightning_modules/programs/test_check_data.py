"""`video-panda check-data` as it is typed: what it says, the page, its exit status, and what Ctrl-C leaves."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from datamodules.checking.check import Checked
from datamodules.checking.clips import Clips
from datamodules.checking.manifest import read_manifest
from datamodules.checking.report import make_report
from datamodules.checking.verdict import judge
from datamodules.long_records import ErrorOnLongRecords
from datamodules.skips import SkipCounter
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.damage import DamagedVideo
from datamodules.video.media_policy import ErrorOnBadMedia, SkipBadMedia
from lightning_modules.cli import main
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.programs.check_data import stop_where_a_training_would

VIDEOS = Path(__file__).parents[2] / "data" / "videos"
SPLITS = {
    "train": {"a.mp4": "toy_rabbit320.mp4", "<b>&.mp4": "toy_rabbit320.mp4", "k.mov": "keyboard_rot270.mov"},
    "val": {"d.mp4": "toy_rabbit320.mp4"},
    "test": {"f.mp4": "hard/not_a_video.mp4", "g.mp4": "hard/truncated_mid_mdat.mp4"},
}


@pytest.fixture
def on_data(tmp_path):
    """Arguments that check the splits above."""
    media, out = tmp_path / "media", tmp_path / "out"
    media.mkdir()
    files = []
    for split, clips in SPLITS.items():
        turns = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "This."}]
        records = [{"id": name, "video": name, "conversations": turns} for name in clips]
        (tmp_path / f"{split}.json").write_text(json.dumps(records))
        files.append(f"--data.{split}={tmp_path / split}.json")
        for name, source in clips.items():
            shutil.copy(VIDEOS / source, media / name)
    return ["--config=experiments/full.yaml", "--config=configs/data/real_clips.yaml", *files,
            f"--data.media_root={media}", f"--out={out}", "--workers=1"]  # fmt: skip


def rows(output):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]


def checked(capsys, *arguments):
    status = 0
    try:
        main(["check-data", *arguments])
    except SystemExit as end:
        status = end.code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err


@pytest.mark.long
def test_splits_duplicates_status_and_page(capsys, on_data, tmp_path):
    status, output, error = checked(capsys, *on_data)
    assert status == 1
    assert error.splitlines()[-1].startswith("error: f.mp4: cannot be opened as a video")
    assert ["ok", "3", "2", "1", "0"] in rows(output)
    assert ["damaged", "1", "0", "0", "1"] in rows(output) and ["unreadable", "1", "0", "0", "1"] in rows(output)
    assert ["few frames", "1"] in rows(output)
    assert "in train and in another split (1):\n  train: <b>&.mp4, a.mp4; val: d.mp4" in output
    assert "more than once in a split (1):" in output

    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;b&gt;&amp;.mp4" in page and "<b>&.mp4" not in page
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^")\s>]+)', page)
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "http" not in page and "@import" not in page
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in sources]
    assert len(pictures) == 4 + 3  # of the damaged clip, and of the one with three frames
    assert {picture.size for picture in pictures} == {(144, 108), (61, 108)}  # the second is turned
    assert all(len(set(picture.convert("L").getdata())) > 50 for picture in pictures)

    # Known now; and what a training does with bad clips decides.
    status, output, _ = checked(capsys, *on_data, "--data.bad_media=SkipBadMedia", "--data.bad_media.max_share=0.7")
    assert status == 0 and "0 checked now, 6 known before" in output


@pytest.mark.parametrize(
    ("policy", "damaged", "stops"),
    [
        (ErrorOnBadMedia(), DamagedVideo.REFUSE, "c: no video stream"),
        (ErrorOnBadMedia(), DamagedVideo.KEEP_DECODABLE, "c: no video stream"),
        (SkipBadMedia(0.5), DamagedVideo.REFUSE, "2 of 3 clips cannot be read"),
        (SkipBadMedia(0.5), DamagedVideo.KEEP_DECODABLE, None),
        (SkipBadMedia(0.7), DamagedVideo.REFUSE, None),
    ],
)
def test_whether_a_training_would_stop(tmp_path, policy, damaged, stops):
    facts = {
        "a": ClipFacts("a", 1, 1, frames=9, damage="decoding fails after 9 of 10 frames"),
        "b": ClipFacts("b", 1, 1, frames=9),  # suspicious at most
        "c": ClipFacts("c", 1, 1, error="no video stream"),
    }
    clips = Clips(tmp_path, {"train": [tmp_path / name for name in facts]}, {})
    judged = {name: judge(value, 8) for name, value in facts.items()}
    report = make_report("data", clips, Checked(judged, 0, "", tmp_path))
    if stops is None:
        stop_where_a_training_would(report, SkipCounter(policy, ErrorOnLongRecords()), damaged, {})
        return
    with pytest.raises(ValueError, match=stops):
        stop_where_a_training_would(report, SkipCounter(policy, ErrorOnLongRecords()), damaged, {})


def test_a_folder_in_which_all_is_well(capsys, tmp_path):
    media = tmp_path / "clips"
    (media / "in").mkdir(parents=True)
    shutil.copy(VIDEOS / "nasa_13013_rotated.mp4", media / "in" / "A.MP4")
    (media / "notes.txt").touch()
    status, output, _ = checked(capsys, str(media), f"--out={tmp_path / 'out'}")
    assert status == 0 and ["ok", "1"] in rows(output)
    assert "not looked at: 1 files of other kinds (1 .txt)" in output
    manifest = read_manifest(tmp_path / "out/manifest.jsonl")
    assert list(manifest.clips) == ["in/A.MP4"] and manifest.header["sha256"] in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "give either a folder or --config"),
        (["tests/data", "--config=experiments/full.yaml"], 2, "give either a folder or --config"),
        (["tests/data", "--data.canvas=3"], 2, "without settings: --data.canvas=3"),
        (["tests/data", "--workers=0"], 2, "--workers is 0"),
        (["nowhere"], 1, "nowhere is not a folder"),
        (["components"], 1, "components has no files that are named like videos"),
        (["--config=nowhere.yaml"], 1, "nowhere.yaml does not exist"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, status, message):
    actual, _, error = checked(capsys, *arguments)
    assert actual == status and message in error


def test_a_full_disk_is_one_line(capsys, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.jsonl").symlink_to("/dev/full")
    status, _, error = checked(capsys, str(VIDEOS / "hard"), f"--out={out}", "--workers=1")
    assert status == 1
    assert error.splitlines()[-1] == f"error: no space left on the device for {out / 'manifest.jsonl'}"


@pytest.mark.long
def test_ctrl_c_keeps_what_is_done(tmp_path, hear_control_c):
    manifest = tmp_path / "out" / "manifest.jsonl"
    program = "import sys; from lightning_modules.programs.check_data import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, VIDEOS, f"--out={tmp_path / 'out'}", "--workers=1"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_control_c
    )
    deadline = time.monotonic() + 90
    while not manifest.exists() or manifest.read_bytes().count(b"\n") < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was checked is kept" in error and "Traceback" not in error
    contents = read_manifest(manifest)
    assert 3 <= len(contents.clips) < 25 and not contents.broken and contents.header is None


@pytest.mark.long
def test_a_training_takes_the_manifest_and_refuses_that_of_other_data(capsys, on_data, tmp_path):
    *data, out, workers = on_data
    skipping = ["--data.bad_media=SkipBadMedia", "--data.bad_media.max_share=0.7"]
    manifest = tmp_path / "out" / "manifest.jsonl"
    believed = ["--data.manifest=Manifest", f"--data.manifest.file={manifest}"]
    # Settings that name the manifest are those that it is made with, too.
    assert checked(capsys, *data, *believed, *skipping, out, workers)[0] == 0
    fit = ["fit", *data, *believed, *skipping, "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu",
           "--data.workers=1", f"--runs={tmp_path / 'runs'}"]  # fmt: skip
    cli = ExperimentCLI(fit)
    assert cli.trainer.global_step == 1
    assert cli.datamodule.manifest.sha256 == (sha256 := read_manifest(manifest).header["sha256"])
    once = [word for word in fit if "fast_dev_run" not in word]
    cli = ExperimentCLI([*once, "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false"])
    assert f"\ndata manifest: sha256 {sha256}\n" in (cli.folder / "origin.txt").read_text()
    os.utime(tmp_path / "media" / "a.mp4")
    with pytest.raises(SystemExit) as ended:
        main(fit)
    error = capsys.readouterr().err
    assert ended.value.code == 1 and "Traceback" not in error
    assert "1 of 3 clips" in error.splitlines()[-1] and "have changed since, first a.mp4" in error.splitlines()[-1]

"""Every reader is held to frames that were decoded in sequence and recorded: count, size, picture."""

import json
import logging
import os
import random
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.video import pyav_reader
from datamodules.video.container import Container
from datamodules.video.decord_reader import DecordReader
from datamodules.video.open import DamagedVideo, open_video
from datamodules.video.pyav_reader import PyAVReader
from datamodules.video.reader import DamagedVideoError, VideoError
from datamodules.video.seeking_reader import SeekingReader
from tests.datamodules.written_clips import KINDS, write_clip

DATA = Path(os.environ.get("VIDEO_DATA_DIR", Path(__file__).parents[2] / "data"))
EXPECTED = json.loads((DATA / "videos/expected_frames.json").read_text())
READABLE = {name: facts for name, facts in EXPECTED.items() if facts["decodable"] and not facts["decode_error"]}
DAMAGED = {name: facts for name, facts in EXPECTED.items() if facts["decodable"] and facts["decode_error"]}
UNREADABLE = [name for name, facts in EXPECTED.items() if not facts["decodable"]]


def grid4x4(frame):
    """Mean grey level of 4 x 4 fields."""
    height, width = frame.shape[:2]
    rows, columns = ([size * step // 4 for step in range(5)] for size in (height, width))
    return [[frame[rows[y] : rows[y + 1], columns[x] : columns[x + 1]].mean() for x in range(4)] for y in range(4)]


def assert_expected(reader, facts):
    assert len(reader) == facts["frames"]
    frames = reader.frames(facts["uniform8_index"])
    assert frames.dtype == np.uint8
    assert frames.shape == (8, facts["display_height"], facts["display_width"], 3)
    np.testing.assert_allclose([grid4x4(frame) for frame in frames], facts["uniform8_grid4x4"], atol=1.5)


@pytest.mark.parametrize("name", READABLE)
def test_recorded_frames(name):
    with open_video(DATA / name) as reader:
        assert_expected(reader, READABLE[name])


@pytest.mark.parametrize("name", READABLE)
def test_recorded_frames_by_seeking_where_that_is_exact(name, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    with open_video(DATA / name) as reader:
        assert_expected(reader, READABLE[name])


@pytest.mark.parametrize("kept", [0, 2**30])
@pytest.mark.parametrize("name", DAMAGED)
def test_keeping_what_a_damaged_file_has(name, kept, caplog, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
    facts = DAMAGED[name]
    with open_video(DATA / name, DamagedVideo.KEEP_DECODABLE) as reader:
        assert_expected(reader, facts)
    assert f"{Path(name).name}: damaged" in caplog.text
    assert f"{facts['frames']} frames" in caplog.text


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_is_refused(name):
    facts = DAMAGED[name]
    message = rf"{Path(name).name}: damaged: decoding fails after {facts['frames']} of \d+ frames: "
    with pytest.raises(DamagedVideoError, match=message) as caught:
        open_video(DATA / name)
    assert caught.value.decodable == facts["frames"]
    assert caught.value.expected > facts["frames"]


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_when_seeking_meets_it(name, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    with pytest.raises(DamagedVideoError, match=Path(name).name), open_video(DATA / name) as reader:
        reader.frames([len(reader) - 1])


@pytest.mark.parametrize("damaged", DamagedVideo)
@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_file(name, damaged):
    with pytest.raises(VideoError, match=Path(name).name) as caught:
        open_video(DATA / name, damaged)
    assert caught.value.reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kept", "kind"), [(pyav_reader.KEPT_BYTES, PyAVReader), (0, SeekingReader)])
def test_file_that_ends_early_is_read_with_a_warning(tmp_path, caplog, kept, kind, monkeypatch):
    """Matroska counts no frames: those that are there are right, but the header's duration betrays the loss."""
    path = write_clip(tmp_path / "clip.mkv", frames=200, options={"bf": "0"})
    with av.open(str(path)) as file:
        ends = [packet.pos + packet.size for packet in file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: ends[99]])
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
    with open_video(path) as reader:
        assert type(reader) is kind
        count, damage = len(reader), reader.damage
    assert 90 <= count <= 100
    assert damage.startswith(f"its {count} frames end after {count / 25:.2f} s, but its header promises 8.00 s")
    assert f"clip.mkv: {damage}" in caplog.text


def test_missing_empty_and_folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for name, reason in {"none.mp4": "no such file", "empty.mp4": "empty file", ".": "is a folder"}.items():
        with pytest.raises(VideoError, match=reason) as caught:
            open_video(tmp_path / name)
        assert caught.value.path == tmp_path / name


def test_no_frames_in_the_video_stream(tmp_path):
    path = write_clip(tmp_path / "nothing.mp4", frames=0)
    with pytest.raises(VideoError, match=r"nothing\.mp4: (no video stream|no frame can be decoded)"):
        open_video(path)


def test_playlist_does_not_open_the_files_it_names(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    with pytest.raises(VideoError, match=r"list\.mp4"):
        open_video(tmp_path / "list.mp4")


def test_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", frames=3).rename(tmp_path / "http:clip.mp4")
    with open_video(Path("http:clip.mp4")) as reader:
        assert len(reader) == 3


@pytest.mark.parametrize("kept", [0, 2**30])
def test_any_order_and_repeats(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
    path = write_clip(tmp_path / "clip.mp4", options={"g": "12"})
    with open_video(path) as reader:
        everything = reader.frames(range(len(reader)))
        order = random.Random(0).choices(range(len(reader)), k=40)
        np.testing.assert_array_equal(reader.frames(order), everything[order])
    assert len({frame.tobytes() for frame in everything}) == len(everything) == 60


def test_indices_outside_the_clip(tmp_path):
    with open_video(write_clip(tmp_path / "clip.mp4", frames=5)) as reader:
        for indices in ([5], [-1], [0, 99], []):
            with pytest.raises(IndexError, match=r"clip\.mp4"):
                reader.frames(indices)


@pytest.mark.parametrize("name", KINDS)
def test_seeking_is_used_only_where_it_gives_the_frames_of_the_sequence(name, tmp_path, monkeypatch):
    codec, options, chosen = KINDS[name]
    path = write_clip(tmp_path / name, codec, options=options)
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    order = random.Random(1).sample(range(60), 30)
    with open_video(path) as reader, PyAVReader(Container(path)) as sequence:
        assert isinstance(reader, SeekingReader) == (chosen == "decord"), reader.reason
        assert len(reader) == len(sequence) == 60
        assert reader.fps == sequence.fps == 25
        np.testing.assert_array_equal(reader.frames(order), sequence.frames(order))


def test_the_choice_does_not_go_by_the_name(tmp_path, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "3", "g": "20"}, format="avi")
    with open_video(path) as reader:
        assert (reader.name, reader.reason) == ("pyav", "container avi")


def test_short_clips_are_read_in_sequence(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with open_video(write_clip(tmp_path / "clip.mp4", frames=15)) as reader:
        assert (reader.name, reader.reason) == ("pyav", "short")
    assert "clip.mp4: read with pyav: short" in caplog.text


def test_sequence_takes_over_when_decord_fails(tmp_path):
    path = write_clip(tmp_path / "clip.mp4")
    with DecordReader(path, "test", in_sequence=lambda: PyAVReader(Container(path))) as reader:
        reader._decord = Refusing()
        with PyAVReader(Container(path)) as sequence:
            np.testing.assert_array_equal(reader.frames([7, 3]), sequence.frames([7, 3]))


class Refusing:
    def get_batch(self, indices):
        raise RuntimeError("no")


def test_file_cut_between_two_frames(tmp_path):
    """Nothing fails in decoding then; only the header knows that frames are missing."""
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "0"}, muxing={"movflags": "faststart"})
    with av.open(str(path)) as file:
        ends = [packet.pos + packet.size for packet in file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: ends[29]])
    with pytest.raises(DamagedVideoError, match=r"clip\.mp4: damaged: 30 of 60 frames can be decoded"):
        open_video(path)
    with open_video(path, DamagedVideo.KEEP_DECODABLE) as reader:
        assert len(reader) == 30


def test_patched_pictures_are_damage(tmp_path):
    """The decoder of H.264 invents what is lost in the middle of a picture and often goes on without an error."""
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "0", "x264-params": "slices=4:threads=1"})
    with av.open(str(path)) as file:
        places = [packet.pos + packet.size // 2 for packet in file.demux(video=0) if packet.size]
    sound, reasons = path.read_bytes(), []
    for place in places[14::14]:
        path.write_bytes(sound[:place] + bytes(byte ^ 0xFF for byte in sound[place : place + 8]) + sound[place + 8 :])
        with pytest.raises(DamagedVideoError, match=r"clip\.mp4: damaged") as caught:
            open_video(path)
        reasons.append(caught.value.reason)
    assert any("had to patch 1 of 60 frames" in reason for reason in reasons), reasons


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 96 * 64 * 3 // 2 * 20)
    with PyAVReader(Container(write_clip(tmp_path / "clip.mp4"))) as reader:
        assert not reader._kept
        assert reader.frames([59, 0]).shape == (2, 64, 96, 3)

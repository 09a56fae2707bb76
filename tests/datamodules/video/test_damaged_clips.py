"""Damage in a clip: the frames that come back are those of the undamaged file, or there is an error."""

import os
import random

import av
import numpy as np
import pytest

from datamodules.checking.examine import examine
from datamodules.video import pyav_reader
from datamodules.video.container import Container
from datamodules.video.damage import damaged_element
from datamodules.video.open import DamagedVideo, open_known, open_video
from datamodules.video.pyav_reader import PyAVReader
from datamodules.video.reader import DamagedVideoError, VideoError
from datamodules.video.seeking_reader import SeekingReader
from tests.datamodules.written_clips import write_clip

# Codec, options, and how many of 24 flipped bits may go unseen: what no decoder notices is documented with figures.
CODINGS = {
    "h264.mp4": ("libx264", {"bf": "3", "g": "20"}, 9),
    "h264.mkv": ("libx264", {"bf": "3", "g": "20"}, 0),  # has checksums
    "hevc.mp4": ("libx265", {"x265-params": "keyint=20:hash=1:log-level=none"}, 0),  # has checksums
    "vp9.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "g": "20", "deadline": "realtime", "cpu-used": "8"}, 3),
    "vp8.webm": ("libvpx", {"g": "20", "deadline": "realtime", "cpu-used": "8"}, 24),
}


@pytest.fixture(autouse=True)
def every_clip_is_long(monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)


def pictures(path):
    """Places and sizes of the packets in a file, in the order of decoding."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]


def invert(path, place, count=8):
    content = bytearray(path.read_bytes())
    content[place : place + count] = bytes(byte ^ 0xFF for byte in content[place : place + count])
    path.write_bytes(content)


def outcome(reader):
    """Frames spread over the clip, or None for an error."""
    try:
        with reader() as opened:
            return opened.frames([len(opened) * part // 59 for part in (3, 21, 30, 58)])
    except VideoError:
        return None


@pytest.mark.parametrize("name", CODINGS)
def test_flipped_bits(name, tmp_path):
    codec, options, most = CODINGS[name]
    path = write_clip(tmp_path / name, codec, options=options)
    sound, undamaged = path.read_bytes(), outcome(lambda: open_video(path))
    assert undamaged is not None
    unseen, chance, places = 0, random.Random(0), pictures(path)
    for _ in range(24):
        start, size = chance.choice(places)
        content = bytearray(sound)
        content[start + chance.randrange(size)] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        opened = outcome(lambda: open_video(path))
        sequence = outcome(lambda: PyAVReader(Container(path)))
        if opened is not None:
            unseen += not np.array_equal(opened, undamaged)
            assert sequence is None or np.array_equal(opened, sequence)
    assert unseen <= most


def test_flipped_bits_in_the_index_of_an_mp4(tmp_path):
    """Most are in the times of pictures; one that is far off then would be hidden by the edit list, without a word."""
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "3", "g": "20"})
    sound, undamaged = path.read_bytes(), outcome(lambda: open_video(path))
    start, unseen, chance = sound.index(b"moov"), 0, random.Random(0)
    for _ in range(100):
        content = bytearray(sound)
        content[chance.randrange(start, len(sound))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        opened = outcome(lambda: open_video(path))
        unseen += opened is not None and not np.array_equal(opened, undamaged)
    assert unseen <= 2


def test_damage_in_a_part_of_a_long_clip(tmp_path):
    """What does not depend on it is right; what does is an error with the counts of the whole clip."""
    path = write_clip(
        tmp_path / "clip.mp4", options={"bf": "0", "g": "20", "x264-params": "slices=4:threads=1:scenecut=0"}
    )
    undamaged = PyAVReader(Container(path)).frames(range(60))
    place, size = pictures(path)[30]
    invert(path, place + size // 2)
    with open_video(path) as reader:
        assert isinstance(reader, SeekingReader)
        around = [*range(30), *range(40, 60)]
        np.testing.assert_array_equal(reader.frames(around), undamaged[around])
        with pytest.raises(DamagedVideoError, match=r"clip\.mp4: damaged: the decoder had to patch 1 of 60 frames"):
            reader.frames([39])


def test_a_codec_whose_damage_is_not_seen_is_read_in_sequence(tmp_path):
    with open_video(write_clip(tmp_path / "clip.webm", "libvpx")) as reader:
        assert reader.reason == "codec vp8"


@pytest.mark.parametrize("turned", [0, 90])
def test_a_turned_clip_is_turned_whichever_decoder_it_has(turned, tmp_path):
    path = write_clip(tmp_path / "clip.webm", "libvpx-vp9", frames=3)
    with av.open(str(path)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(turned)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                file.mux(packet)
    with open_video(path) as reader, open_video(tmp_path / "turned.mp4") as other:
        upright = reader.frames([0, 1, 2])
        np.testing.assert_array_equal(other.frames([0, 1, 2]), np.rot90(upright, turned // 90, axes=(1, 2)))


@pytest.mark.parametrize("damaged", DamagedVideo)
def test_content_that_differs_from_that_of_the_manifest(damaged, tmp_path):
    """Size and time of change are as they were, and no decoder would notice."""
    path = write_clip(tmp_path / "clip.webm", "libvpx")
    facts, status = examine((path, path.name)), path.stat()
    assert not facts.damage
    place, size = pictures(path)[30]
    invert(path, place + size // 2, 1)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert facts.unchanged(path)
    with pytest.raises(VideoError, match=r"clip\.webm: its content has changed since check-data"):
        open_known(path, facts, damaged)


def test_lost_blocks_of_a_file_without_checksums(tmp_path):
    """FFmpeg goes on with the next cluster then, and the header has no count."""
    path = write_clip(tmp_path / "clip.webm", "libvpx", frames=200, muxing={"cluster_time_limit": "1000"})
    assert not damaged_element(path)
    place, _ = pictures(path)[60]
    content = path.read_bytes()
    size_at = content.rindex(b"\xa3", 0, place) + 1  # of the block that the packet is in
    path.write_bytes(content[:size_at] + bytes([content[size_at] ^ 0x04]) + content[size_at + 1 :])
    with pytest.raises(DamagedVideoError, match=r"clip\.webm: damaged: damaged element at byte \d+"):
        open_video(path)
    with open_video(path, DamagedVideo.KEEP_DECODABLE) as reader:
        assert len(reader) < 200


def test_packets_that_the_file_marks_as_damaged(tmp_path):
    path = write_clip(tmp_path / "clip.ts", options={"bf": "0"}, format="mpegts")
    content = bytearray(path.read_bytes())
    of_video = [at for at in range(0, len(content), 188) if content[at + 1] & 0x1F == 1 and content[at + 2] == 0]
    content[of_video[len(of_video) // 2] + 3] ^= 4  # the number by which a lost part is noticed
    path.write_bytes(content)
    with pytest.raises(DamagedVideoError, match=r"clip\.ts: damaged: the file marks \d of its packets as damaged"):
        open_video(path)


def test_a_picture_that_the_decoder_drops(tmp_path, monkeypatch):
    """All later ones would have a wrong number."""
    path, decode = write_clip(tmp_path / "clip.mp4", frames=100), Container.decode
    dropped = pictures(path)[50]
    monkeypatch.setattr(
        Container, "decode", lambda self, packet: decode(self, packet) if packet.pos != dropped[0] else []
    )
    with pytest.raises(DamagedVideoError, match=r"damaged: [1-9] of 100 pictures are missing in between"):
        PyAVReader(Container(path))

"""Undamaged clips are read whole by every reader, and called so by a check, whatever has written them."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from datamodules.checking.examine import examine
from datamodules.checking.verdict import judge
from datamodules.video import pyav_reader
from datamodules.video.open import open_known, open_video
from datamodules.video.reader import DamagedVideoError

# Codec, options, pixels, size; the ending tells the container.
WRITTEN = {
    "h264.mp4": ("libx264", {"bf": "3", "g": "10"}),
    "open_h264.mp4": ("libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0"}),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none:keyint=10:open-gop=1:bframes=3"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2", "g": "10"}),
    "vp9.mp4": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    "av1.mp4": ("libsvtav1", {"preset": "13", "svtav1-params": "keyint=10"}),
    "mjpeg.mp4": ("mjpeg", {}, "yuvj420p"),
    "mpeg2.mp4": ("mpeg2video", {"bf": "2"}),
    "h264.m4v": ("libx264", {"bf": "2"}),
    "h264.mov": ("libx264", {"bf": "2", "g": "10"}),
    "prores.mov": ("prores_ks", {}, "yuv422p10le"),
    "qtrle.mov": ("qtrle", {}, "rgb24"),
    "png.mov": ("png", {}, "rgb24"),
    "raw.mov": ("rawvideo", {}, "rgb24"),
    "mpeg4.3gp": ("mpeg4", {}),
    "h263.3gp": ("h263", {}, "yuv420p", (128, 96)),
    "h264.mkv": ("libx264", {"bf": "3", "g": "10"}),
    "hevc.mkv": ("libx265", {"x265-params": "log-level=none:keyint=10"}),
    "mpeg4.mkv": ("mpeg4", {"bf": "2"}),
    "ffv1.mkv": ("ffv1", {}),
    "mpeg2.mkv": ("mpeg2video", {"bf": "2"}),
    "vp8.webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    "av1.webm": ("libsvtav1", {"preset": "13", "svtav1-params": "keyint=10"}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}),
    "h264.avi": ("libx264", {"bf": "2"}),
    "msmpeg4.avi": ("msmpeg4", {"qmin": "1", "qmax": "2"}),
    "mjpeg.avi": ("mjpeg", {}, "yuvj420p"),
    "huffyuv.avi": ("huffyuv", {}, "yuv422p"),
    "raw.avi": ("rawvideo", {}, "yuv420p"),
    "flv1.flv": ("flv", {}),
    "h264.flv": ("libx264", {"bf": "2"}),
    "h264.ts": ("libx264", {"bf": "2", "g": "10"}),
    "hevc.ts": ("libx265", {"x265-params": "log-level=none:keyint=10"}),
    "mpeg2.ts": ("mpeg2video", {"bf": "2"}),
    "h264.m2ts": ("libx264", {"bf": "2"}),
    "mpeg1.mpg": ("mpeg1video", {"bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2"}),
    "vp8.ogv": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "moving.gif": ("gif", {}, "rgb8"),
    "moving.apng": ("apng", {}, "rgb24"),
    "wmv1.wmv": ("wmv1", {}),
    "wmv2.wmv": ("wmv2", {"bf": "0"}),
    "msmpeg4.asf": ("msmpeg4", {"qmin": "1", "qmax": "2"}),
    "mpeg2.mxf": ("mpeg2video", {}),
    "vp8.ivf": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "vp9.ivf": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}  # fmt: skip
MUXERS = {"ogv": "ogg", "m2ts": "mpegts", "m4v": "mp4"}
OF_CONTAINERS = [
    "h264.mp4", "open_h264.mp4", "vp9.mp4", "h264.mov", "mpeg4.3gp", "h264.mkv", "vp9.webm", "mpeg4.avi", "h264.avi",
    "h264.flv", "h264.ts", "mpeg2.mpg", "vp8.ogv", "moving.gif", "wmv2.wmv", "mpeg2.mxf", "vp8.ivf",
]  # fmt: skip
EVEN = range(30)


def grey(number):
    """The mean grey level of a picture, which tells its number in whatever coding."""
    return 40 + 6 * number


def pictures(count, size):
    width, height = size
    slope = np.linspace(-12, 12, width)[None, :, None]
    for number in range(count):
        yield np.broadcast_to(grey(number) + slope, (height, width, 3)).astype(np.uint8)


def write(path, codec, options, pixels="yuv420p", size=(32, 32), times=EVEN, muxing=(), more=()):
    """Write a clip of pictures shown at `times`, in 25ths of a second.

    Args:
        more: functions that add a stream to the open file and return one that makes its packets.
    """
    ending = path.suffix[1:]
    with av.open(str(path), "w", format=MUXERS.get(ending), options=dict(muxing)) as file:
        first = [add(file) for add in more if add is cover]
        stream = file.add_stream(codec, rate=25, options=dict(options))
        (stream.width, stream.height), stream.pix_fmt = size, pixels
        stream.codec_context.time_base = Fraction(1, 25)
        packets = first + [add(file) for add in more if add is not cover]
        for time, picture in zip(times, pictures(len(times), size), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        for make in packets:
            for packet in make():
                file.mux(packet)
    return path


def cover(file):
    """A picture that players show in a list of files."""
    stream = file.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
    stream.disposition = Disposition.attached_pic

    def make():
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8))
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        return [*stream.encode(frame), *stream.encode()]

    return make


def second(file):
    """A smaller video."""
    stream = file.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"

    def make():
        packets = []
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 200, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        return [*packets, *stream.encode()]

    return make


def sound(codec, seconds):
    """Silence."""

    def add(file):
        stream = file.add_stream(codec, rate=48000)
        stream.layout = "mono"

        def make():
            packets, size = [], stream.codec_context.frame_size or 1024
            for number in range(round(48000 * seconds / size)):
                frame = av.AudioFrame(format=stream.codec_context.format.name, layout="mono", samples=size)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.pts, frame.sample_rate, frame.time_base = number * size, 48000, Fraction(1, 48000)
                packets += stream.encode(frame)
            return [*packets, *stream.encode()]

        return make

    return add


def readers(path, monkeypatch):
    """Yield every way to open a clip, as a short and as a long one, without and with what a check found."""
    for kept in (2**30, 0):
        monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
        facts = examine((path, path.name))
        for reader in (open_video(path), open_known(path, facts)):
            with reader:
                yield facts, reader


def assert_whole(path, monkeypatch, numbers=range(30), suspicions=()):
    """Hold every reader, and the check, to the pictures that were written."""
    for facts, reader in readers(path, monkeypatch):
        assert not facts.damage and judge(facts, 8).reasons.keys() <= {*suspicions}
        assert len(reader) == facts.frames == len(reader.times()) == len(numbers)
        means = reader.frames(range(len(reader))).mean((1, 2, 3))
        assert np.abs(means - [grey(number) for number in numbers]).max() < 6, means.round()


@pytest.mark.parametrize("name", WRITTEN)
def test_every_container_and_codec(name, tmp_path, monkeypatch):
    suspicions = {"no duration"} if name.endswith("apng") else {}
    assert_whole(write(tmp_path / name, *WRITTEN[name]), monkeypatch, suspicions=suspicions)


@pytest.mark.parametrize("name", OF_CONTAINERS)
def test_a_single_frame(name, tmp_path, monkeypatch):
    path = write(tmp_path / name, *WRITTEN[name], times=[0])
    assert_whole(path, monkeypatch, [0], {"few frames", "short", "no duration"})


@pytest.mark.parametrize("name", OF_CONTAINERS)
def test_uneven_and_late_times(name, tmp_path, monkeypatch):
    gaps = [*range(10), *range(10, 60, 5), *range(60, 70)]  # an AVI has empty packets there
    assert_whole(write(tmp_path / name, *WRITTEN[name], times=gaps), monkeypatch, suspicions={"uneven times"})
    path = write(tmp_path / name, *WRITTEN[name], times=range(1000, 1030))
    assert_whole(path, monkeypatch, suspicions={"ends early"} if name.endswith("avi") else {})


@pytest.mark.parametrize("name", [name for name in OF_CONTAINERS if not name.endswith("ogv")])  # cannot hold them
def test_negative_times(name, tmp_path, monkeypatch):
    """The muxer of MP4 hides such frames by an edit list, others move all times."""
    hidden = 5 if name.endswith(("mp4", "mov", "3gp")) else 0
    path = write(tmp_path / name, *WRITTEN[name], times=range(-5, 25))
    assert_whole(path, monkeypatch, range(hidden, 30))


def test_an_edit_list_that_hides_frames_closer_in_time_than_those_shown(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", *WRITTEN["h264.mp4"], times=[*range(-10, 0), *range(0, 50, 5), *range(50, 60)])
    assert_whole(path, monkeypatch, range(10, 30), {"uneven times"})


MUXING = {
    "fragmented": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    "index_of_the_first_part": {"movflags": "frag_keyframe"},
    "dash": {"movflags": "dash+frag_keyframe"},
    "every_frame": {"movflags": "cmaf+frag_every_frame"},
    "faststart": {"movflags": "faststart"},
    "no_edit_list": {"use_editlist": "0"},
    "negative_offsets": {"movflags": "negative_cts_offsets"},
}


@pytest.mark.parametrize("muxing", MUXING)
@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4", "av1.mp4"])
def test_ways_of_the_mp4_muxer(name, muxing, tmp_path, monkeypatch):
    suspicions = {"more frames than the header"} if muxing == "index_of_the_first_part" else {}
    path = write(tmp_path / name, *WRITTEN[name], muxing=MUXING[muxing])
    assert_whole(path, monkeypatch, suspicions=suspicions)


SOUND = {"h264.mp4": "aac", "h264.mov": "pcm_s16le", "h264.mkv": "libopus", "vp9.webm": "libopus", "mpeg4.avi": "mp2",
         "h264.flv": "aac", "h264.ts": "mp2", "mpeg2.mpg": "mp2", "wmv2.wmv": "libmp3lame"}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_sound_of_another_length(name, tmp_path, monkeypatch):
    for seconds, suspicions in {0.5: (), 2.0: (), 5.0: {"ends early"}}.items():
        path = write(tmp_path / name, *WRITTEN[name], more=[sound(SOUND[name], seconds)])
        assert_whole(path, monkeypatch, suspicions=suspicions)


@pytest.mark.parametrize("more", [cover, second])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.mov", "h264.mkv", "mpeg4.avi", "h264.ts"])
def test_beside_a_cover_or_another_video(name, more, tmp_path, monkeypatch):
    assert_whole(write(tmp_path / name, *WRITTEN[name], more=[more]), monkeypatch)


@pytest.mark.parametrize("times", [range(60), [*range(20), *range(40, 80)]])
def test_an_avi_that_is_cut_off(times, tmp_path):
    """FFmpeg then guesses another duration from its size; what is left out on purpose is no damage, the rest is."""
    path = write(tmp_path / "clip.avi", "mpeg4", {}, times=times)
    with av.open(str(path)) as file:
        ends = [packet.pos + packet.size for packet in file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: ends[44]])
    with pytest.raises(DamagedVideoError, match=r"clip\.avi: damaged: 4\d of 60 frames can be decoded"):
        open_video(path)
    assert "of 60 frames" in examine((path, path.name)).damage

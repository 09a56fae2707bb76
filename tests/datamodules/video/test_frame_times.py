"""When frames are shown: a sampler that promises times goes by them, whatever rate a header has."""

from fractions import Fraction

import av
import numpy as np
import pytest

from datamodules.video.open import open_video
from datamodules.video.sampling import FpsSampler, OfficialSampler
from tests.datamodules.video.test_display import all_readers
from tests.datamodules.written_clips import write_clip

UNEVEN = [*range(0, 2000, 33), *range(2000, 40000, 1000)]  # 30 per second for 2 s, then one per second; milliseconds


def write_at(path, times, codec):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=30, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 2 * number, np.uint8))
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_one_frame_per_second_of_a_clip_of_uneven_times(name, codec, tmp_path, monkeypatch):
    path = write_at(tmp_path / name, UNEVEN, codec)
    for _, reader in all_readers(path, monkeypatch):
        np.testing.assert_allclose(reader.times(), np.array(UNEVEN) / 1000, atol=1e-3)
        chosen = FpsSampler(1.0, 64).indices(len(reader), reader.fps, reader.times)
        assert len(chosen) == 40
        assert np.abs([UNEVEN[index] / 1000 - number for number, index in enumerate(chosen)]).max() < 0.034
        # The official rule goes by frame numbers and the header's rate.
        official = OfficialSampler(8)
        assert official.indices(len(reader), reader.fps, reader.times) == official.indices(len(reader), reader.fps)


def test_a_rate_that_is_not_the_headers(tmp_path):
    path = write_at(tmp_path / "a.webm", range(0, 6000, 100), "libvpx")  # 10 per second, and the header says 30
    with open_video(path) as reader:
        assert FpsSampler(2.0, 64).indices(60, reader.fps, reader.times) == list(range(0, 60, 5))


def test_times_of_an_even_clip_change_nothing(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4")
    for _, reader in all_readers(path, monkeypatch):
        for rate in (1.0, 3.0, 12.5, 25.0, 60.0):
            sampler = FpsSampler(rate, 100)
            assert sampler.indices(60, reader.fps, reader.times) == sampler.indices(60, 25)


def test_frames_of_a_gap_are_taken_once():
    assert FpsSampler(1.0, 64).indices(4, 1.0, lambda: [0.0, 1.0, 4.9, 5.0]) == [0, 1, 3]
    assert FpsSampler(1.0, 64).indices(3, 1.0, lambda: [0.0, 0.0, 0.0]) == [2]  # broken times: one moment

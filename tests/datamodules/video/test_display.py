"""What a player shows of a clip, by every reader: turned and mirrored, with square pixels, whatever its title."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from datamodules.checking.examine import examine
from datamodules.checking.page import thumbnails
from datamodules.video import pyav_reader
from datamodules.video.container import Container
from datamodules.video.display import Orientation
from datamodules.video.open import open_known, open_video
from datamodules.video.pyav_reader import PyAVReader
from datamodules.video.reader import VideoError
from tests.datamodules.written_clips import write_clip

ONE = 1 << 16
# (a, b, c, d) of the matrix: a point (p, q) is shown at (a p + c q, b p + d q).
EIGHT = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def with_matrix(path, matrix):
    """Write a display matrix into an MP4 that has none."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    assert struct.unpack(">9i", content[place : place + 36]) == (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
    a, b, c, d = matrix
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def shown(pictures, matrix):
    """The definition, point by point."""
    a, b, c, d = matrix
    q, p = np.indices(pictures.shape[1:3])
    x, y = a * p + c * q, b * p + d * q
    x, y = x - x.min(), y - y.min()
    placed = np.zeros((len(pictures), y.max() + 1, x.max() + 1, 3), np.uint8)
    placed[:, y, x] = pictures[:, q, p]
    return placed


def all_readers(path, monkeypatch):
    """Yield every way to open a clip, as a short and as a long one, without and with what a check found."""
    for kept in (2**30, 0):
        monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
        facts = examine((path, path.name))
        assert not facts.error
        for reader in (open_video(path), open_known(path, facts), PyAVReader(Container(path))):
            with reader:
                yield facts, reader
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 2**30)
    with open_known(path, facts) as reader:  # in parts, by groups of pictures
        yield facts, reader


@pytest.mark.parametrize("matrix", EIGHT)
def test_all_orientations_by_every_reader(matrix, tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", frames=9, options={"g": "3"})
    with PyAVReader(Container(path)) as coded:
        right = shown(coded.frames([7, 2]), matrix)
    with_matrix(path, [ONE * value for value in matrix])
    for facts, reader in all_readers(path, monkeypatch):
        np.testing.assert_array_equal(reader.frames([7, 2]), right)
        assert (facts.height, facts.width) == right.shape[1:3]
        assert facts.mirrored == (np.linalg.det(np.reshape(matrix, (2, 2))) < 0)
    small = np.array(Image.open(io.BytesIO(thumbnails((path, 3))[2])))
    assert np.abs(small.astype(int) - right[1]).mean() < 8  # JPEG
    assert np.abs(small.astype(int) - right[1][::-1, ::-1]).mean() > 20


def test_other_angles_are_refused(tmp_path):
    path = with_matrix(write_clip(tmp_path / "clip.mp4", frames=3), (46341, 46341, -46341, 46341))
    for read in (lambda: open_video(path).frames([0]), lambda: open_known(path, examine((path, "clip.mp4")))):
        with pytest.raises(
            VideoError, match=r"clip\.mp4: its display matrix .* is neither of quarter turns nor of mirror"
        ):
            read()
    assert thumbnails((path, 3)) == []


@pytest.mark.parametrize(
    ("matrix", "right"),
    [
        ((0, 0, 0, 0), Orientation()),
        ((-3, ONE, -ONE, 5), Orientation(3)),  # almost a quarter turn
        ((2 * ONE, 0, 0, -ONE), Orientation(2, mirrored=True)),  # a scale is not the orientation's
    ],
)
def test_other_matrices(matrix, right):
    a, b, c, d = matrix
    assert Orientation.of_matrix(np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30])) == right


@pytest.mark.parametrize("matrix", [(ONE, 0, 0, 0), (ONE, ONE, 0, ONE)])
def test_matrices_that_are_no_orientation(matrix):
    a, b, c, d = matrix
    with pytest.raises(ValueError, match="display matrix"):
        Orientation.of_matrix(np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30]))


def write_stretched(path, aspect):
    """Write a clip of a grey disc on black, which is round where pixels have this aspect."""
    y, x = np.mgrid[:64, :96] - np.array([32, 48])[:, None, None]
    disc = np.repeat(255 * ((x * aspect) ** 2 + y**2 < 20**2)[..., None], 3, -1).astype(np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for packet in [p for _ in range(4) for p in stream.encode(av.VideoFrame.from_ndarray(disc))] + stream.encode():
            file.mux(packet)
    return path


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (64, 128)), (Fraction(1, 2), (128, 96))])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_pixels_are_square(aspect, size, ending, tmp_path, monkeypatch):
    path = write_stretched(tmp_path / f"clip.{ending}", aspect)
    for facts, reader in all_readers(path, monkeypatch):
        (picture,) = reader.frames([1])
        assert picture.shape == (*size, 3) and (facts.height, facts.width) == size
        white = picture[..., 1] > 128
        assert abs(np.ptp(np.flatnonzero(white.any(0))) - np.ptp(np.flatnonzero(white.any(1)))) <= 3
    assert Image.open(io.BytesIO(thumbnails((path, 3))[0])).size[0] / size[1] == pytest.approx(
        Image.open(io.BytesIO(thumbnails((path, 3))[0])).size[1] / size[0], rel=0.02
    )


def test_enormous_pixels_are_refused(tmp_path):
    path = write_stretched(tmp_path / "clip.mkv", Fraction(20))
    with pytest.raises(VideoError, match=r"clip\.mkv: its pixels are 20 times as wide as high"):
        open_video(path)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi", "flv"])
def test_a_title_in_another_encoding(ending, tmp_path):
    path = tmp_path / f"clip.{ending}"
    # Without the checksums of Matroska, which the change of the title would make wrong.
    with av.open(str(path), "w", options={"write_crc32": "0"} if ending == "mkv" else {}) as file:
        file.metadata["title"] = "caf#"
        stream = file.add_stream("mpeg4" if ending != "flv" else "flv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.metadata["title"] = "caf#"
        black = np.zeros((64, 96, 3), np.uint8)
        for packet in stream.encode(av.VideoFrame.from_ndarray(black)) + stream.encode():
            file.mux(packet)
    assert b"caf#" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"caf#", b"caf\xe9"))
    with open_video(path) as reader:
        assert len(reader) == 1
    assert not examine((path, path.name)).error
    assert thumbnails((path, 1))

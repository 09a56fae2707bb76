"""A picture is a clip of one frame, exact and upright; what cannot be shown as it is meant is refused."""

import numpy as np
import pytest
from PIL import Image

from datamodules.video.display import Orientation
from datamodules.video.open import open_video
from datamodules.video.reader import VideoError

PIXELS = np.kron(np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
PICTURE = Image.fromarray(PIXELS)


@pytest.fixture
def save(tmp_path):
    def save_picture(name, picture=PICTURE, **settings):
        picture.save(tmp_path / name, **settings)
        return tmp_path / name

    return save_picture


@pytest.mark.parametrize(("name", "settings"), [("a.png", {}), ("a.bmp", {}), ("a.webp", {"lossless": True})])
def test_a_picture_is_one_frame(save, name, settings):
    with open_video(save(name, **settings)) as reader:
        assert (len(reader), reader.name, reader.fps) == (1, "pillow", 1.0)
        assert np.array_equal(reader.frames([0, 0]), np.stack([PIXELS] * 2))
        with pytest.raises(IndexError):
            reader.frames([1])


def test_a_picture_is_turned_upright_and_known_by_its_contents(save):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    with open_video(save("a.mp4", format="JPEG", exif=exif, quality=100, subsampling=0)) as reader:
        (frame,) = reader.frames([0])
    assert frame.shape == (64, 48, 3)
    assert np.abs(frame.astype(int) - np.rot90(PIXELS, -1)).mean() < 3


@pytest.mark.parametrize("kind", range(1, 9))
def test_how_a_picture_was_turned(save, kind):
    exif = Image.Exif()
    exif[0x0112] = kind
    with open_video(save("a.png", exif=exif)) as reader:
        (frame,) = reader.frames([0])
        assert np.array_equal(Orientation(reader.rotation // 90, reader.mirrored)(PIXELS), frame)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_kinds_of_pictures_become_rgb(save, mode):
    picture = PICTURE.convert(mode)
    with open_video(save("a.png", picture)) as reader:
        assert np.array_equal(reader.frames([0])[0], np.array(picture.convert("RGB")))


def test_a_moving_png_is_a_video(save):
    path = save("a.png", save_all=True, append_images=[PICTURE.rotate(180)], duration=100)
    with open_video(path) as reader:
        assert (len(reader), reader.name) == (2, "pyav")


def test_pictures_that_cannot_be_read(save, monkeypatch):
    path = save("a.png")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(VideoError, match=r"a\.png: damaged picture"):
        open_video(path)
    path = save("a.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"a\.jpg: damaged picture: .*[Tt]runcated"):
        open_video(path)
    with pytest.raises(VideoError, match="a picture of the kind I;16; save it with 8 bits"):
        open_video(save("deep.png", Image.fromarray(np.zeros((4, 4), np.uint16))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(VideoError, match="damaged picture: Image size"):
        open_video(save("large.png"))

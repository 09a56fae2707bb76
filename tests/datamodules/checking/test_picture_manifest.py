"""A picture is a clip for a manifest too: checked, believed, and seen as without one."""

import json

import numpy as np
import pytest
from PIL import Image

from datamodules.checking.check import check
from datamodules.checking.clips import clips_of_folder
from datamodules.checking.media_facts import Manifest, NoManifest
from datamodules.checking.page import thumbnails
from datamodules.sample_sizes import ClipShapes
from datamodules.video.damage import DamagedVideo
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.open import open_video
from datamodules.video.reader import VideoError
from datamodules.video.sampling import OfficialSampler
from tests.datamodules.written_clips import write_clip

PIXELS = np.kron(np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
PICTURE = Image.fromarray(PIXELS)


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    PICTURE.save(folder / "turned.jpg", exif=exif, quality=95)
    PICTURE.save(
        folder / "phone.jpg", format="MPO", save_all=True, append_images=[PICTURE.resize((20, 15))], quality=95
    )
    PICTURE.save(folder / "plain.png")
    PICTURE.save(folder / "moving.png", save_all=True, append_images=[PICTURE.rotate(180)], duration=100)
    broken = folder / "broken.jpg"
    PICTURE.save(broken)
    broken.write_bytes(broken.read_bytes()[:400])
    write_clip(folder / "clip.mp4", frames=30)
    return folder


def test_a_picture_with_a_second_one_in_it_is_its_first(media):
    with open_video(media / "phone.jpg") as reader:
        assert (len(reader), reader.name) == (1, "pillow")
        assert np.abs(reader.frames([0])[0].astype(int) - PIXELS).mean() < 6


def test_pictures_are_the_same_with_a_manifest(media, tmp_path, in_this_process):
    checked = check(clips_of_folder(media).distinct(), tmp_path / "out", 8, 1)
    assert {name: clip.verdict.value for name, clip in checked.clips.items()} == {
        "turned.jpg": "ok",
        "phone.jpg": "ok",
        "plain.png": "ok",
        "moving.png": "suspicious",  # a video of two frames
        "broken.jpg": "unreadable",
        "clip.mp4": "ok",
    }
    manifest, nothing = Manifest(str(checked.manifest)), NoManifest()
    manifest.check(media.iterdir(), media)
    shape = ClipShapes(manifest, OfficialSampler(8), CanvasGeometry(112, 14, 2, (0, 0, 0)))
    for file in sorted(media.iterdir()):
        if file.name == "broken.jpg":
            for facts in (manifest, nothing):
                with pytest.raises(VideoError, match=r"broken\.jpg: damaged picture"):
                    facts.open(file, DamagedVideo.REFUSE)
            continue
        with manifest.open(file, DamagedVideo.REFUSE) as known, nothing.open(file, DamagedVideo.REFUSE) as looked_at:
            assert (len(known), known.fps, known.name) == (len(looked_at), looked_at.fps, looked_at.name)
            np.testing.assert_array_equal(known.frames([0]), looked_at.frames([0]))
            assert known.times()[0] == looked_at.times()[0] == 0
            facts = manifest.of(file)
            assert (facts.height, facts.width) == looked_at.frames([0]).shape[1:3]
        assert shape(file)[0] == min(8, len(looked_at))
        assert thumbnails((file, facts.frames))
    assert json.loads(checked.manifest.read_text().splitlines()[0])["clips"] == 6

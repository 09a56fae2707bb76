"""What is said of a clip is what the model is shown of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.checking.examine import examine
from datamodules.clip_dataset import canvases
from datamodules.video.damage import DamagedVideo
from datamodules.video.open import open_video
from datamodules.video.sampling import FpsSampler
from datamodules.video.shown_frames import NoiseFrames
from video_panda.clips import ClipReading

VIDEOS = Path("tests/data/videos")
CLIPS = ["asl_eat_portrait.mp4", "fire2_rot180_vfr.mp4", "keyboard_rot270.mov", "asl_walk.avi"]


@pytest.mark.parametrize("name", CLIPS)
def test_what_is_read_is_what_the_model_is_shown(panda, name):
    read = panda.read(VIDEOS / name)
    reading, encoder, _ = panda.processor.parts()
    (geometry,) = canvases(reading.canvas, encoder, None, reading.resizing, reading.fit)
    assert torch.equal(geometry(read.frames).frames, panda.processor("Where?", read.clip)["pixel_values_videos"])
    facts = examine((VIDEOS / name, name))
    assert (read.length, read.rate, *read.size) == (facts.frames, facts.fps, facts.width, facts.height)
    assert (read.rotation, read.mirrored, read.reader) == (facts.rotation, facts.mirrored, facts.reader)
    assert read.seconds == pytest.approx(facts.seconds, abs=1e-4)
    assert (read.damage, read.shown_frames) == ("", "TrueFrames")


def test_frames_and_times_belong_together():
    """The clip has a variable rate: at 2 per second some seconds are further apart in frames than others."""
    read = ClipReading(64, FpsSampler(fps=2, max_frames=6), NoiseFrames()).read(VIDEOS / "toy_frog_vfr.mp4")
    with open_video(VIDEOS / "toy_frog_vfr.mp4") as reader:
        numbers = [reader.times().index(time) for time in read.times]
        assert np.array_equal(reader.frames(numbers), read.frames)
    lines = str(read).splitlines()
    assert lines[0].endswith(f"6 of 179 frames, at {', '.join(f'{time:.3g}' for time in read.times)} s")
    assert lines[1:] == [
        "720x480, 21.65 frames/s, 8.28 s, read with pyav (short)",
        "the model sees NoiseFrames instead of these frames",
    ]


def test_a_clip_that_is_read_in_part_or_not_at_all(panda, tmp_path):
    content = (VIDEOS / "asl_walk.avi").read_bytes()
    part = tmp_path / "part.avi"
    part.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"part\.avi: damaged: \d+ of 89 frames can be decoded") as error:
        panda.read(part)
    with pytest.raises(ValueError) as asked:
        panda.ask(part, "Where?")
    assert str(error.value) == str(asked.value)
    read = ClipReading(64, FpsSampler(), NoiseFrames(), DamagedVideo.KEEP_DECODABLE).read(part)
    assert read.damage in str(error.value) and f"{read.length} of 89" in read.damage and read.damage in str(read)


def test_frames_in_memory(panda):
    frames = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)
    read = panda.read(frames)
    assert np.array_equal(read.frames, frames) and read.times == (0.0, 0.04, 0.08, 0.12) and read.size == (8, 6)

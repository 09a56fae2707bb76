"""The picture of the benchmark in the docs is what the generator draws, so that a change of clips cannot go unseen.

Clips on disk are reused as long as GENERATOR_VERSION stays. After a change of what is drawn or asked, raise it, and
make the picture again: `python -m tests.datamodules.shapes_in_motion.test_shapes_in_motion_picture`.
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from datamodules.shapes_in_motion import FAMILIES, SceneSettings, question, render, sample_scene
from datamodules.shapes_in_motion.files import GENERATOR_VERSION

PICTURE = Path(__file__).parents[3] / "docs" / "shapes_in_motion.png"
SCALE, EDGE = 2, 72


def drawn():
    rows = []
    for clip in range(4):
        frames = render(sample_scene(SceneSettings(), 0, "train", clip))[::2]
        padding = [(0, 0), *((1, EDGE + 1 - side) for side in frames.shape[1:3]), (0, 0)]
        rows.append(np.concatenate(list(np.pad(frames, padding, constant_values=255)), axis=1))
    return np.concatenate(rows)


def asked():
    texts = []
    for clip in range(60):
        answers = sample_scene(SceneSettings(), 0, "train", clip).answers
        texts += [question(answers, family, np.random.default_rng(clip)) for family in FAMILIES]
    return hashlib.sha256(repr(texts).encode()).hexdigest()


def test_what_is_drawn_and_asked_is_what_this_version_of_the_generator_drew_and_asked():
    with Image.open(PICTURE) as picture:
        made_by = {"generator": str(GENERATOR_VERSION), "questions": asked()}
        assert {key: picture.info[key] for key in made_by} == made_by, __doc__
        kept = np.asarray(picture).astype(int)[::SCALE, ::SCALE]
    # A few bits of float arithmetic may differ between processors.
    assert np.abs(kept - drawn()).max() <= 1, __doc__


if __name__ == "__main__":
    info = PngInfo()
    info.add_text("generator", str(GENERATOR_VERSION))
    info.add_text("questions", asked())
    large = drawn().repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    Image.fromarray(large).save(PICTURE, pnginfo=info, optimize=True)

"""ShapesInMotion: what the decoded pixels show is what the answers say, and difficulty is drawn as it is set."""

import dataclasses
from collections import Counter

import av
import numpy as np
import pytest

from datamodules.shapes_in_motion import ANSWERS, FAMILIES, SceneSettings, build_split, render, sample_scene
from datamodules.shapes_in_motion.answers import COLOURS
from datamodules.shapes_in_motion.render import DOT, MARKER

SETTINGS = SceneSettings()


def decode(path_or_file):
    with av.open(path_or_file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def like(pixels, rgb, within):
    """Mask of the pixels that are about as coloured as `rgb`."""
    return np.abs(pixels.astype(int) - np.array(rgb)).sum(axis=-1) < within


def name_of(rgb):
    return min(COLOURS, key=lambda name: np.abs(np.array(COLOURS[name]) - rgb).sum())


def count_blobs(mask):
    remaining, blobs = set(zip(*np.nonzero(mask), strict=True)), 0
    while remaining:
        blobs += 1
        front = [remaining.pop()]
        while front:
            row, column = front.pop()
            for neighbour in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if neighbour in remaining:
                    remaining.remove(neighbour)
                    front.append(neighbour)
    return blobs


def see_shape(video, scene):
    """Name the shape whose drawing is closest: at this size, blurred colours defeat a simpler look."""

    def difference(shape):
        drawn = render(dataclasses.replace(scene, noise=0.0, marker=dataclasses.replace(scene.marker, shape=shape)))
        return np.abs(video.astype(int) - drawn).mean()

    return min(ANSWERS["shape"], key=difference)


def area_of(box):
    return slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))


def see_through_time(video, scene):
    """Brightness of each pixel on average over the frames in which the mover is elsewhere; nan where it always is."""
    row, column = np.mgrid[: scene.height, : scene.width] + 0.5
    time = np.arange(scene.frames)[:, None, None]
    x, y = (start + speed * time for start, speed in zip(scene.mover.start, scene.mover.velocity, strict=True))
    free = np.hypot(column - x, row - y) > scene.mover.radius + 1.5
    shown = (video.mean(axis=-1) * free).sum(axis=0)
    return np.divide(shown, free.sum(axis=0), out=np.full(shown.shape, np.nan), where=free.any(axis=0))


def see_texture(tile):
    """Name the texture by which means vary; rows and columns that the mover always hides do not count."""
    seen = ~np.isnan(tile)
    row_means = np.nanmean(tile[seen.any(axis=1)], axis=1)
    column_means = np.nanmean(tile[:, seen.any(axis=0)], axis=0)
    swing = np.nanstd(tile)
    if swing < 12:
        return "plain"
    if row_means.std() > 0.8 * swing:
        return "horizontal"
    return "vertical" if column_means.std() > 0.8 * swing else "checkered"


def see(video, scene):
    """Answer all families by looking at pixels; only the shape needs more than where strip and tile are."""
    strip_area = np.zeros(video.shape[1:3], dtype=bool)
    strip_area[int(scene.strip.top) : int(scene.strip.bottom), int(scene.strip.left) : int(scene.strip.right)] = True
    strip_colours = np.median(video[:, strip_area], axis=1)
    flashes = list(dict.fromkeys(name_of(rgb) for rgb in strip_colours if np.ptp(rgb) > 70))
    assert len(flashes) == 2

    mover = (video.min(axis=-1) > 222) & ~strip_area
    times = np.flatnonzero(mover.any(axis=(1, 2)))  # a dot may hide all of it for a moment
    first, last = (np.mean(np.nonzero(mover[time]), axis=1) for time in times[[0, -1]])
    down, right = last - first
    sideways = abs(right) > abs(down)
    direction = ("right" if right > 0 else "left") if sideways else ("down" if down > 0 else "up")
    pace = max(abs(right), abs(down)) / (times[-1] - times[0])

    still = np.median(video, axis=0)  # without most of the noise
    marker = like(still, MARKER, 110) & ~strip_area
    row, column = np.mean(np.nonzero(marker), axis=1)
    vertical = "top" if row < scene.height / 2 else "bottom"
    horizontal = "left" if column < scene.width / 2 else "right"

    tile = see_through_time(video, scene)[area_of(scene.tile.box)]
    dots = like(still, DOT, 75) & ~strip_area
    dots[area_of(scene.card.box)] = False  # a yellow card is nearly orange
    counts = ("none", "one", "two", "three", "four", "more")
    return {
        "colour": name_of(np.median(still[area_of(scene.card.box)], axis=(0, 1))),
        "shape": see_shape(video, scene),
        "count": counts[min(count_blobs(dots), 5)],
        "direction": direction,
        "speed": "slow" if pace < 1.5 else "fast",
        "order": flashes[0 if scene.answers.asked_flash == "first" else 1],
        "texture": see_texture(tile),
        "position": f"{vertical} {horizontal}",
    }


def test_all_answers_can_be_seen_in_the_decoded_files(tmp_path):
    wrong = Counter()
    for index, path in enumerate(build_split(tmp_path, "test", 60, SETTINGS, seed=5, workers=1)):
        scene = sample_scene(SETTINGS, 5, "test", index)
        seen = see(decode(str(path)), scene)
        wrong.update(family for family in FAMILIES if seen[family] != scene.answers.by_family[family])
    assert wrong == Counter()


@pytest.mark.parametrize(
    ("shape", "filled", "upper_half"),
    [("square", 1.0, 0.5), ("circle", np.pi / 4, 0.5), ("triangle", 0.5, 0.25), ("cross", 0.51, 0.5)],
)
def test_shapes_are_what_they_are_called(shape, filled, upper_half):
    """Each shape fills the right share of its box, and of that the right share lies in the upper half."""
    large = dataclasses.replace(
        SETTINGS, frame_sizes=((256, 256),), noise=0.0, marker_radius=40.0, tile_grid=96, tile_size=96
    )
    scene = sample_scene(large, 0, "train", 0)
    marker = dataclasses.replace(scene.marker, shape=shape)
    pink = like(render(dataclasses.replace(scene, marker=marker, noise=0.0))[0], MARKER, 40)
    rows, columns = np.flatnonzero(pink.any(axis=1)), np.flatnonzero(pink.any(axis=0))
    box = pink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert box.mean() == pytest.approx(filled, abs=0.04)
    assert box[: len(box) // 2].sum() / box.sum() == pytest.approx(upper_half, abs=0.03)


def test_sampling_every_second_frame_shows_both_flashes():
    for index in range(60):
        scene = sample_scene(SETTINGS, 0, "train", index)
        shown = [
            [t for t in range(0, 15, 2) if flash.start <= t < flash.start + flash.frames] for flash in scene.flashes
        ]
        assert shown[0] and shown[1]
        assert max(shown[0]) < min(shown[1])


@pytest.mark.parametrize("texture", ANSWERS["texture"])
def test_averaging_two_by_two_patches_hides_the_texture(texture):
    """With a period of two patches, the average patch of a token is one even tone, whatever the phase."""
    seen = 0
    for index in range(40):
        scene = sample_scene(dataclasses.replace(SETTINGS, noise=0.0), 0, "train", index)
        if scene.answers.by_family["texture"] != texture:
            continue
        token = see_through_time(render(scene), scene)[area_of(scene.tile.box)]
        if not np.isnan(token).any():
            average_patch = token.reshape(2, 12, 2, 12).mean(axis=(0, 2))
            np.testing.assert_allclose(average_patch, SETTINGS.tile_tone, atol=1)
            seen += 1
    assert seen >= 4


def test_texture_period_is_drawn_as_set():
    scene = sample_scene(dataclasses.replace(SETTINGS, noise=0.0, texture_period=4), 0, "train", 1)
    scene = dataclasses.replace(scene, tile=dataclasses.replace(scene.tile, texture="vertical", phase=(0.0, 0.0)))
    tile = see_through_time(render(scene), scene)[area_of(scene.tile.box)]
    light = np.arange(SETTINGS.tile_size) % 4 < 2
    np.testing.assert_array_equal(tile > SETTINGS.tile_tone, np.broadcast_to(light, tile.shape))

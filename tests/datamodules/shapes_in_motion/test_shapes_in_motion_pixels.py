"""ShapesInMotion: what the decoded pixels show is what the answers say, and difficulty is drawn as it is set."""

import dataclasses
from collections import Counter

import av
import numpy as np
import pytest

from datamodules.shapes_in_motion import ANSWERS, FAMILIES, SceneSettings, build_split, render, sample_scene
from datamodules.shapes_in_motion.answers import COLOURS
from datamodules.shapes_in_motion.render import DOT, LAMP_OFF, MARKER

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


def see_lamp(video, lamp):
    """Return when a lamp is lit, and the name of the colour that it has then."""
    row, column = np.mgrid[: video.shape[1], : video.shape[2]] + 0.5
    (x, y), half = lamp.box.centre, (lamp.box.right - lamp.box.left) / 2
    shown = np.median(video[:, np.abs(column - x) + np.abs(row - y) < half - 1], axis=1)
    lit = ~like(shown, LAMP_OFF, 120)
    return lit, name_of(np.median(shown[lit], axis=0))


def see(video, scene):
    """Answer all families by looking at pixels, from where strip, tiles, card and lamps are; the shape needs more."""
    strip_area = np.zeros(video.shape[1:3], dtype=bool)
    strip_area[area_of(scene.strip)] = True
    strip_colours = np.median(video[:, strip_area], axis=1)
    lit = [name_of(rgb) if np.ptp(rgb) > 70 else None for rgb in strip_colours]
    flashes = list(dict.fromkeys(name for name in lit if name))
    assert len(flashes) == 2

    mover = (video.min(axis=-1) > 222) & ~strip_area
    times = np.flatnonzero(mover.any(axis=(1, 2)))  # other elements may hide all of it for a moment
    y, x = np.mean(np.nonzero(mover[times[-1]]), axis=1)
    stations = dict(zip(ANSWERS["path"], (scene.card.box, *(t.box for t in scene.tiles)), strict=True))
    path = min(stations, key=lambda name: np.hypot(*np.subtract(stations[name].centre, (x, y))))

    still = np.median(video, axis=0)  # without most of the noise
    marker = like(still, MARKER, 110) & ~strip_area
    row, column = np.mean(np.nonzero(marker), axis=1)
    vertical = "top" if row < scene.height / 2 else "bottom"
    horizontal = "left" if column < scene.width / 2 else "right"
    pink = like(video, MARKER, 110)[:, marker].mean(axis=1)
    hidden = {name for name, share in zip(lit, pink, strict=True) if share < 0.5}
    assert len(hidden) == 1

    tile = scene.tiles[("light", "dark").index(scene.answers.asked_tile)]
    lamps = [see_lamp(video, lamp) for lamp in scene.lamps]
    _, blinking = max(lamps, key=lambda seen: np.diff(seen[0]).sum())
    dots = like(still, DOT, 75) & ~strip_area
    for element in (scene.card, *scene.lamps):
        dots[area_of(element.box)] = False  # yellow is nearly orange
    counts = ("none", "one", "two", "three", "four", "more")
    return {
        "colour": name_of(np.median(still[area_of(scene.card.box)], axis=(0, 1))),
        "shape": see_shape(video, scene),
        "count": counts[min(count_blobs(dots), 5)],
        "path": path,
        "blink": blinking,
        "order": flashes[0 if scene.answers.asked_flash == "first" else 1],
        "moment": hidden.pop(),
        "texture": see_texture(see_through_time(video, scene)[area_of(tile.box)]),
        "position": f"{vertical} {horizontal}",
    }


@pytest.mark.long
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
    large = dataclasses.replace(SETTINGS, frame_sizes=((256, 256),), noise=0.0, marker_radius=40.0, window=85)
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
        asked = ("light", "dark").index(scene.answers.asked_tile)
        token = see_through_time(render(scene), scene)[area_of(scene.tiles[asked].box)]
        if not np.isnan(token).any():
            average_patch = token.reshape(2, 12, 2, 12).mean(axis=(0, 2))
            np.testing.assert_allclose(average_patch, SETTINGS.tile_tones[asked], atol=1.5)
            seen += 1
    assert seen >= 4


def test_texture_period_is_drawn_as_set():
    scene = sample_scene(dataclasses.replace(SETTINGS, noise=0.0, texture_period=4), 0, "train", 1)
    tile = dataclasses.replace(scene.tiles[0], texture="vertical", phase=(0.0, 0.0))
    scene = dataclasses.replace(scene, tiles=(tile, scene.tiles[1]))
    drawn = see_through_time(render(scene), scene)[area_of(tile.box)]
    light = np.arange(SETTINGS.window) % 4 < 2
    np.testing.assert_array_equal(drawn > SETTINGS.tile_tones[0], np.broadcast_to(light, drawn.shape))


def test_neither_single_frames_nor_counting_them_tells_which_lamp_blinks():
    """Of any four sampled frames in a row both are lit in two, and in every frame one is lit as often as the other."""
    lit = np.array(
        [
            [[lamp.lit(frame) for frame in range(0, 15, 2)] for lamp in sample_scene(SETTINGS, 0, "train", index).lamps]
            for index in range(600)
        ]
    )
    for first in range(5):
        assert (lit[..., first : first + 4].sum(axis=-1) == 2).all()
    assert np.abs(lit.mean(axis=0) - 0.5).max() < 0.08
    changes = np.diff(lit, axis=-1).sum(axis=-1)
    assert (changes[:, 0] == 7).all() and set(changes[:, 1].tolist()) == {3, 4}

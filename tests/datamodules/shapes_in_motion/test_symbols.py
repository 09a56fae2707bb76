"""Scenes in symbols: they say what questions are asked about and where it is, and nothing that only pixels show."""

import dataclasses

import numpy as np
import pytest

from datamodules.shapes_in_motion import SPLITS, SceneSettings, sample_scene
from datamodules.shapes_in_motion.answers import COUNTS, TILES
from datamodules.shapes_in_motion.symbols import SYMBOLS, THINGS, describe

SETTINGS, WINDOW, FRAMES = SceneSettings(), 24, list(range(15))


@pytest.fixture(params=range(12))
def scene(request):
    return sample_scene(SETTINGS, 5, "symbols", request.param)


def shown(scene, thing):
    """Return symbol -> how much of it every frame shows, for the symbols of a thing that are there at all."""
    seen = describe(scene, FRAMES, WINDOW)
    amounts = {symbol: seen[..., SYMBOLS.index(symbol)].sum((1, 2)) for symbol in THINGS[thing]}
    return {symbol: amount for symbol, amount in amounts.items() if amount.any()}


def test_symbols_say_the_answers(scene):
    known = scene.answers.by_family
    always = np.ones(len(FRAMES))
    hidden = np.array([any(flash.lit(frame) and flash.hides_marker for flash in scene.flashes) for frame in FRAMES])
    for thing, symbol, amount in (
        ("card", f"card {known['colour']}", always),
        ("marker", f"marker {known['shape']}", 1 - hidden),
        ("disc", "disc", always),
    ):
        amounts = shown(scene, thing)
        assert list(amounts) == [symbol]
        np.testing.assert_allclose(amounts[symbol], amount, rtol=1e-5)
    assert 0 < hidden.sum() < len(FRAMES)
    asked = scene.tiles[TILES.index(scene.answers.asked_tile)]
    assert asked.texture == known["texture"]
    count = COUNTS.index(known["count"]) + 1
    np.testing.assert_allclose(shown(scene, "dots")["dot"], count * always, rtol=1e-5)


def test_tiles_are_of_their_tone_and_texture(scene):
    seen = describe(scene, FRAMES[:1], WINDOW)[0]
    for tone, tile in zip(TILES, scene.tiles, strict=True):
        row, column = int(tile.box.top) // WINDOW, int(tile.box.left) // WINDOW
        there = {SYMBOLS[number] for number in np.flatnonzero(seen[row, column])}
        assert {f"tile {tone}", f"tile {tile.texture}"} == there & {*THINGS["tone"], *THINGS["tile"]}


def test_lamps_are_lit_when_they_are_and_alone_where_the_frames_beside_are_dark(scene):
    every_second = FRAMES[::2]
    seen = describe(scene, every_second, WINDOW)
    blinking, slow = scene.lamps
    assert blinking.colour == scene.answers.by_family["blink"] != slow.colour
    for lamp in scene.lamps:
        x, y = (int(middle) // WINDOW for middle in lamp.box.centre)
        lit = np.array([lamp.lit(frame) for frame in every_second])
        amounts = seen[:, y, x]
        np.testing.assert_allclose(amounts[:, SYMBOLS.index(f"lamp {lamp.colour}")], lit, rtol=1e-5)
        np.testing.assert_allclose(amounts[:, SYMBOLS.index("lamp dark")], ~lit, rtol=1e-5)
        alone = [0 < number < 7 and lamp is blinking and now for number, now in enumerate(lit)]
        np.testing.assert_allclose(amounts[:, SYMBOLS.index(f"lamp {lamp.colour} alone")], alone, rtol=1e-5)


def test_flashes_are_where_and_when_the_strip_flashes(scene):
    strip = shown(scene, "strip")["strip"]
    amounts = shown(scene, "flash")
    assert set(amounts) == {f"flash {flash.colour}" for flash in scene.flashes}
    for flash in scene.flashes:
        lit = [flash.lit(frame) for frame in FRAMES]
        np.testing.assert_array_equal(amounts[f"flash {flash.colour}"], np.where(lit, strip, 0))


def test_things_are_in_their_places(scene):
    seen = describe(scene, FRAMES, WINDOW)
    assert seen.shape == (15, scene.height // WINDOW, scene.width // WINDOW, len(SYMBOLS))
    vertical, horizontal = scene.answers.by_family["position"].split()
    corner = seen[:, 0 if vertical == "top" else -1, 0 if horizontal == "left" else -1].max(0)
    assert corner[SYMBOLS.index(f"marker {scene.marker.shape}")] == pytest.approx(1, abs=1e-5)
    x, y = scene.mover.start
    where = seen[0, ..., SYMBOLS.index("disc")]
    assert where[int(y) // WINDOW, int(x) // WINDOW] == where.max()


def test_what_only_pixels_show_is_in_no_symbol(scene):
    other = dataclasses.replace(
        scene,
        background=((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        gradient=scene.gradient + 1,
        noise=60.0,
        noise_seed=scene.noise_seed + 1,
        card=dataclasses.replace(scene.card, rgb=(0.0, 0.0, 0.0)),
        flashes=tuple(dataclasses.replace(flash, rgb=(0.0, 0.0, 0.0)) for flash in scene.flashes),
        tiles=tuple(
            dataclasses.replace(tile, tone=1.0, contrast=0.1, period=3, phase=(1.0, 2.0)) for tile in scene.tiles
        ),
    )
    np.testing.assert_array_equal(describe(other, FRAMES, WINDOW), describe(scene, FRAMES, WINDOW))


def test_no_clip_shows_a_scene_of_the_symbols():
    starts = {split: {sample_scene(SETTINGS, 0, split, index).mover.start for index in range(50)} for split in SPLITS}
    assert len(set.union(*starts.values())) == 50 * len(SPLITS)

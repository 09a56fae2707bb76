"""ShapesInMotion: answers are balanced and independent, clips reproducible, records complete, mistakes refused."""

import dataclasses
import re
from collections import Counter

import numpy as np
import pytest

from datamodules.shapes_in_motion import (
    ANSWERS,
    FAMILIES,
    SPLITS,
    SceneSettings,
    all_texts,
    build_split,
    deal_answers,
    question,
    question_records,
    render,
    sample_scene,
    training_records,
    vocabulary,
)
from datamodules.shapes_in_motion.questions import PHRASINGS

SETTINGS = SceneSettings()


# Answers


@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_balanced_in_every_prefix(split):
    dealt = [deal_answers(3, split, index) for index in range(97)]
    for family, choices in ANSWERS.items():
        for clips in (6, 31, 97):
            counts = Counter(answers.by_family[family] for answers in dealt[:clips])
            assert set(counts) <= set(choices)
            assert max(counts.values()) - min(counts[choice] for choice in choices) <= 1


def test_families_are_independent_of_each_other():
    """No answer may help to guess another: every pair of answers is about as frequent as chance says."""
    dealt = [deal_answers(0, "train", index) for index in range(3000)]
    for first in FAMILIES:
        for second in FAMILIES:
            if first < second and {first, second} != {"moment", "order"}:
                pairs = Counter((answers.by_family[first], answers.by_family[second]) for answers in dealt)
                expected = len(dealt) / (len(ANSWERS[first]) * len(ANSWERS[second]))
                assert len(pairs) == len(ANSWERS[first]) * len(ANSWERS[second])
                assert max(abs(count - expected) for count in pairs.values()) < 5 * np.sqrt(expected)


def test_the_flash_that_hides_the_marker_is_that_which_order_asks_about_in_half_of_the_clips():
    """Two clips in ten would do by chance: then nearly always "the other one" would be right."""
    dealt = [deal_answers(0, "train", index).by_family for index in range(600)]
    assert sum(answers["moment"] == answers["order"] for answers in dealt) == 300
    pairs = Counter((answers["order"], answers["moment"]) for answers in dealt)
    assert len(pairs) == 36


def test_where_the_mover_is_does_not_tell_where_it_goes_to():
    """All ways are as frequent as the ways back, so that only their order in time tells."""
    ways = Counter()
    for index in range(1200):
        scene = sample_scene(SETTINGS, 0, "train", index)
        (x, y), box = scene.mover.start, scene.card.box
        comes_from_card = box.left <= x < box.right and box.top <= y < box.bottom
        ways[comes_from_card, scene.answers.by_family["path"]] += 1
    (to_card,) = (count for (_, to), count in ways.items() if to == "card")
    others = [count for (_, to), count in ways.items() if to != "card"]
    assert to_card == 400 and len(others) == 4 and max(others) - min(others) < 60


# Reproducibility


def test_same_address_gives_same_frames_and_any_other_gives_others():
    video = render(sample_scene(SETTINGS, 7, "train", 12))
    assert video.dtype == np.uint8
    assert video.shape[0] == 15
    assert video.shape[1:3] in SETTINGS.frame_sizes
    assert video.tobytes() == render(sample_scene(SETTINGS, 7, "train", 12)).tobytes()
    for other in ((8, "train", 12), (7, "test", 12), (7, "train", 13)):
        assert video.tobytes() != render(sample_scene(SETTINGS, *other)).tobytes()


def test_no_clip_is_in_two_splits():
    without_noise = dataclasses.replace(SETTINGS, noise=0.0)  # or any two clips would differ
    frames = [
        render(sample_scene(without_noise, 0, split, index))[0].tobytes() for split in SPLITS for index in range(60)
    ]
    assert len(set(frames)) == len(frames)


# Questions and records


def test_every_word_is_in_the_vocabulary_and_every_text_is_listed():
    words, texts = set(vocabulary()), set(all_texts())
    rng = np.random.default_rng(0)
    asked = set()
    for index in range(200):
        answers = deal_answers(0, "train", index)
        for family in FAMILIES:
            text, answer = question(answers, family, rng)
            asked.add(text)
            assert {text, answer} <= texts
            assert answer == answer.lower() == answers.by_family[family]
            assert set(re.findall(r"[a-z]+", f"{text} {answer}".lower())) <= words
            if family == "order":
                assert answers.asked_flash in text
            if family == "texture":
                assert f"{answers.asked_tile} tile" in text
    assert asked == {text for phrasings in PHRASINGS.values() for text in phrasings}


def test_training_records_ask_every_family_about_every_clip_in_changing_order(tmp_path):
    arguments = {"root": tmp_path, "clips": 24, "turns_per_record": 5, "settings": SETTINGS, "seed": 1, "workers": 1}
    records = training_records(**arguments)
    assert [record.id for record in records] == [f"train/{index:06d}/{part}" for index in range(24) for part in (0, 1)]
    assert all(record.video.is_file() for record in records)
    family_of = {text: name.split()[0] for name, phrasings in PHRASINGS.items() for text in phrasings}
    orders = []
    for index, (first, second) in enumerate(zip(records[::2], records[1::2], strict=True)):
        assert (len(first.turns), len(second.turns)) == (5, 4) and first.video == second.video
        turns = first.turns + second.turns
        families = [family_of[turn.question] for turn in turns]
        assert sorted(families) == sorted(FAMILIES)
        answers = deal_answers(1, "train", index).by_family
        assert [turn.answer for turn in turns] == [answers[family] for family in families]
        orders.append(tuple(families))
    assert len(set(orders)) > 20
    assert training_records(**arguments) == records


def test_question_records_ask_each_family_equally_often(tmp_path):
    records = question_records(tmp_path, "test", 12, SETTINGS, seed=1, workers=1)
    assert Counter(record.family for record in records) == dict.fromkeys(FAMILIES, 12)
    assert len({record.id for record in records}) == len(records)
    path = next(record for record in records if record.id == "test/000007/path")
    assert path.video.name == "000007.mp4"
    assert path.turns[0].answer == deal_answers(1, "test", 7).by_family["path"]
    for family, choices in ANSWERS.items():
        counts = Counter(record.turns[0].answer for record in records if record.family == family)
        assert max(counts.values()) - min(counts[choice] for choice in choices) <= 1


# Mistakes


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("frames", 2, "at least 3"),
        ("fps", 0, "at least 1"),
        ("flash_frames", 7, "at most 6"),
        ("flash_gap", 0, "at least 1"),
        ("noise", -1.0, "0..64"),
        ("colour_jitter", 100.0, "0..40"),
        ("texture_contrast", 3.0, "0..1"),
        ("texture_period", 1, "at least 2"),
        ("window", 0, "at least 1"),
        ("card_size", 0, "at least 1"),
        ("tile_tones", (300.0, 75.0), "0..255"),
        ("tile_tones", (75.0, 150.0), "the light one first"),
        ("lamp_frames", 0, "at least 1"),
        ("jitter", -1.0, "at least 0"),
        ("mover_radius", (-1.0, 5.0), "positive"),
        ("frame_sizes", (), "even"),
        ("frame_sizes", ((64, 63),), "even"),
    ],
)
def test_bad_setting_is_named_with_what_is_allowed(setting, value, allowed):
    with pytest.raises(ValueError, match=rf"`scene\.{setting}` must be .*{re.escape(allowed)}.*; got ") as caught:
        SceneSettings(**{setting: value})
    assert str(caught.value).endswith(str(value))


def test_elements_too_large_for_the_frame_are_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"no room .* height 32 and width 32: .*scene\.frame_sizes"):
        build_split(tmp_path, "train", 1, SceneSettings(frame_sizes=((32, 32),)), seed=0, workers=1)
    assert not list(tmp_path.iterdir())


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least 1 clip and 1 worker; got 0 and 1"):
        build_split(tmp_path, "train", 0, SETTINGS, seed=0, workers=1)
    with pytest.raises(ValueError, match=r"split 'valid' .* train, validation, test"):
        build_split(tmp_path, "valid", 1, SETTINGS, seed=0, workers=1)
    with pytest.raises(ValueError, match=r"`clips_seed`.* got -1"):
        build_split(tmp_path, "train", 1, SETTINGS, seed=-1, workers=1)
    with pytest.raises(ValueError, match=r"`turns_per_record` must be within 1\.\.9; got 10"):
        training_records(tmp_path, 1, 10, SETTINGS, seed=0, workers=1)
    with pytest.raises(ValueError, match=r"questions per family .* at least 1; got 0"):
        question_records(tmp_path, "test", 0, SETTINGS, seed=0, workers=1)
    with pytest.raises(ValueError, match=r"family 'size' .* colour, shape"):
        question(deal_answers(0, "train", 0), "size", np.random.default_rng(0))
    assert not list(tmp_path.iterdir())

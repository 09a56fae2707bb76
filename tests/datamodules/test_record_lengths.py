"""Which records are too long is known before they are loaded, and what is too long is left out of a batch whole."""

from pathlib import Path

import pytest
import torch

from components.encoders import STAB
from components.encoders.video_encoder import VideoShapes
from components.language_models import TinyLlama
from components.splice import IGNORED_LABEL, PLACEHOLDER, TooLongError
from datamodules.batch import Batch, PackedClips
from datamodules.checking.check import check
from datamodules.checking.media_facts import Manifest, NoManifest
from datamodules.clip_dataset import ClipDataset, collate
from datamodules.long_records import ErrorOnLongRecords, SkipLongRecords
from datamodules.record_lengths import TokenLimits, find_long_records
from datamodules.records import Record, RecordStore, RecordTable, Turn
from datamodules.sample_sizes import ClipShapes
from datamodules.skips import SkipCounter
from datamodules.video.augmentation import NoAugmentation
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_cache import NoCache
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.media_policy import ErrorOnBadMedia
from datamodules.video.sampling import OfficialSampler
from datamodules.video.shown_frames import TrueFrames
from lightning_modules.training.model_input import prepare

VIDEOS = Path(__file__).parents[1] / "data" / "videos"
NAMES = ("keyboard_rot270.mov", "nasa_13013_rotated.mp4", "hard/one_frame_mpeg4.mp4")
GEOMETRY = CanvasGeometry(112, 14, 2, (0, 0, 0))
NEW_TOKENS = 24

TURNS = [
    (Turn("What?", "This."),),
    (Turn("What is it? " * 9, "Die Größe: 球🎈"), Turn("And?", "This. " * 20), Turn("\u0958?", "!")),
    (Turn("Where is the red square?", "left"),),
]
RECORDS = [
    Record(f"r{n}", None if n == 7 else VIDEOS / NAMES[n % 3], TURNS[n // 3], where=f"qa.json, record {n}")
    for n in range(9)
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    clips = {name: VIDEOS / name for name in NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "datamodules.checking.check.results_of_processes", lambda work, items, _: ((i, work(i)) for i in items)
        )
        checked = check(clips, tmp_path_factory.mktemp("checked"), 8, 1)
    known = Manifest(str(checked.manifest))
    known.check(clips.values(), VIDEOS)
    return known


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return STAB(width=32), TinyLlama(width=16, layers=1, heads=2)


@pytest.fixture(scope="module")
def samples(model, manifest):
    dataset = ClipDataset(
        RECORDS, OfficialSampler(8), [GEOMETRY], model[1].text, ErrorOnBadMedia(), DamagedVideo.REFUSE, manifest,
        TrueFrames(), NoCache(), NoAugmentation(), 0,
    )  # fmt: skip
    return [dataset[index] for index in range(len(dataset))]


def stand_in():
    """Return what goes through the encoder beside a text without a clip."""
    shapes = VideoShapes(torch.tensor([1]), torch.tensor([[0, 0, 2, 2]]), GEOMETRY.patches)
    clips = PackedClips(torch.zeros(1, 3, 112, 112, dtype=torch.uint8), shapes)
    return Batch(clips, None, [torch.tensor([PLACEHOLDER])], [torch.tensor([IGNORED_LABEL])], [])


def spliced(model, samples, max_length, new_tokens=0):
    encoder, language_model = model
    language_model.max_length = max_length
    return prepare(collate(samples), encoder, language_model, stand_in, new_tokens)


def true_length(model, sample, new_tokens):
    plan = spliced(model, [sample], 10**6, new_tokens)
    return max(plan.text.input_ids.shape[1], plan.questions.input_ids.shape[1] + new_tokens if new_tokens else 0)


def long_records(model, manifest, max_length, generated, looked_at=None):
    limits = TokenLimits(model[1].text, max_length, NEW_TOKENS, model[0].layout)
    shapes = ClipShapes(manifest, OfficialSampler(8), GEOMETRY)
    return find_long_records(
        RecordTable(RecordStore(RECORDS)), shapes, limits, generated=generated, looked_at=looked_at
    )


@pytest.mark.parametrize("generated", [False, True])
def test_lengths_are_those_of_the_batch_to_the_token(model, samples, manifest, generated):
    lengths = [true_length(model, sample, NEW_TOKENS * generated) for sample in samples]
    assert len(set(lengths)) > 5
    for limit in sorted({length + step for length in lengths for step in (-1, 0)}):
        expected = [str(sample.facts) for sample, length in zip(samples, lengths, strict=True) if length > limit]
        assert list(long_records(model, manifest, limit, generated)) == expected


def test_a_run_looks_at_the_longest_texts(model, manifest):
    assert [name.split("'")[1] for name in long_records(model, manifest, 5, generated=False, looked_at=2)] == [
        "r3",
        "r4",
    ]


def test_without_a_manifest_a_text_that_is_too_long_by_itself_is_known(model, caplog):
    known = long_records(model, NoManifest(), 118, generated=False)
    assert list(known) == [f"record 'r{n}' about {VIDEOS / NAMES[n % 3]} (qa.json, record {n})" for n in (3, 4, 5)]
    assert (
        "5 of 9 records, or more, may be longer than the 118 tokens" in caplog.text
        and "First: record 'r0'" in caplog.text
    )


def test_what_is_left_out_of_a_batch_is_left_out_whole(model, samples):
    batch, lengths = collate(samples), [true_length(model, sample, 0) for sample in samples]
    with pytest.raises(TooLongError) as error:
        spliced(model, samples, lengths[3] - 1)
    fits = [length < lengths[3] for length in lengths]
    assert set(error.value.samples) == {place for place, fit in enumerate(fits) if not fit} > {3}
    kept = batch.without(error.value.samples)
    expected = collate([sample for sample, fit in zip(samples, fits, strict=True) if fit])
    assert isinstance(kept, Batch) and kept.samples == expected.samples
    assert torch.equal(kept.clips.frames, expected.clips.frames)
    assert torch.equal(kept.clips.shapes.frame_counts, expected.clips.shapes.frame_counts)
    assert torch.equal(kept.clips.shapes.rectangles, expected.clips.shapes.rectangles)
    for ours, theirs in zip(kept.input_ids + kept.labels, expected.input_ids + expected.labels, strict=True):
        assert torch.equal(ours, theirs)
    assert not batch.without(range(9)).has_clips


def test_the_policies():
    counter = SkipCounter(ErrorOnBadMedia(), ErrorOnLongRecords())
    counter.expect(1, 100)
    counter.count_long({})
    with pytest.raises(
        ValueError, match=r"record 'a' is 9 long \(2 of 100 records are too long\): use .*SkipLongRecords"
    ):
        counter.count_long({"record 'a'": "9 long", "record 'b'": "8 long"})

    counter = SkipCounter(ErrorOnBadMedia(), SkipLongRecords(0.02))
    counter.expect(1, 100)
    for _ in range(2):  # a record counts once
        counter.count_long({"a": "9 long", "b": "8 long"})
    assert counter.figures() == {"data/skipped_records": 2}
    other = SkipCounter(ErrorOnBadMedia(), SkipLongRecords(0.02))
    other.count_long({})
    other.long = {"b": "8 long", "c": "7 long"}
    with pytest.raises(ValueError, match=r"3 of 100 .*max_share = 0\.02 .*First: "):
        counter.take_in([other])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_outside_0_to_1(share):
    with pytest.raises(ValueError, match=r"long_records\.init_args\.max_share"):
        SkipLongRecords(share)

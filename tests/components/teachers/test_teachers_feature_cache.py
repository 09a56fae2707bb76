"""The cache of teacher features: bit by bit the same, safe with several writers, and never a wrong feature."""

import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import safetensors.torch
import torch

from components.distillation import CosineDistillation, align
from components.files import write_whole
from components.teachers import CLIPTeacher, DiskFeatureCache, KnownFeatures, NoFeatureCache, Untrained, clip_key

KEYS = [clip_key(torch.full((2, 3, 4, 4), i, dtype=torch.uint8), "teacher") for i in range(3)]


class Source:
    """Computes features, and remembers for which clips."""

    def __init__(self, *features):
        self.features, self.asked = features, []

    def __call__(self, positions):
        self.asked.append(positions)
        return [self.features[position] for position in positions]


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy(force=True).tobytes() == b.numpy(force=True).tobytes()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_only_what_is_not_kept_is_computed_and_all_at_once(tmp_path):
    source = Source(*torch.randn(3, 2, 3, 3, 8))
    assert all(
        map(same_bits, DiskFeatureCache(tmp_path).get(KEYS[1:2], Source(source.features[1])), source.features[1:])
    )
    cache = DiskFeatureCache(tmp_path)  # as another run
    for _ in range(2):
        assert all(map(same_bits, cache.get(KEYS, source), source.features))
    assert source.asked == [[0, 2]]
    assert files(tmp_path) == sorted(cache.path(key) for key in KEYS)
    assert cache.damaged == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_bit_is_kept(tmp_path, dtype):
    features = torch.tensor([0.1, -0.0, torch.nan, torch.inf, 1e-7], dtype=dtype).view(1, 1, 5, 1)
    transposed = torch.randn(3, 4, 2, 2).to(dtype).transpose(0, 1)
    DiskFeatureCache(tmp_path).get(KEYS[:2], Source(features, transposed))
    assert all(map(same_bits, DiskFeatureCache(tmp_path).get(KEYS[:2], Source()), (features, transposed)))


def test_reduced_precision_is_kept_too(tmp_path):
    features = torch.randn(1, 2, 2, 3).bfloat16()
    DiskFeatureCache(tmp_path).get(KEYS[:1], Source(features))
    (kept,) = DiskFeatureCache(tmp_path).get(KEYS[:1], Source())
    assert kept.dtype == torch.bfloat16
    assert torch.equal(kept.view(torch.int16), features.view(torch.int16))


def flip_a_bit(path, other):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "one bit": flip_a_bit,
    "truncated": lambda path, other: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path, other: path.write_bytes(b""),
    "not safetensors": lambda path, other: path.write_bytes(b"features" * 100),
    "of another clip": lambda path, other: path.write_bytes(other.read_bytes()),
    "without a checksum": lambda path, other: safetensors.torch.save_file({"features": torch.zeros(1)}, path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_counted_and_computed_again(tmp_path, damage):
    cache, features = DiskFeatureCache(tmp_path), torch.randn(2, 2, 3, 3, 8)
    cache.get(KEYS[:2], Source(*features))
    damage(cache.path(KEYS[0]), cache.path(KEYS[1]))
    source = Source(*features)
    with pytest.warns(UserWarning, match=rf"{KEYS[0]}.safetensors are damaged and computed again"):
        found = cache.get(KEYS[:2], source)
    assert all(map(same_bits, found, features))
    assert source.asked == [[0]]
    assert cache.damaged == 1
    cache.get(KEYS[:2], Source())  # repaired
    assert cache.damaged == 1


def test_a_file_of_an_older_version_is_replaced(tmp_path, recwarn):
    cache, features = DiskFeatureCache(tmp_path), torch.randn(1, 2, 3, 3, 8)
    path = cache.path(KEYS[0])
    write_whole(path, safetensors.torch.save({"features": features[0] + 1, "checksum": torch.zeros(32).byte()}))
    source = Source(*features)
    for _ in range(2):
        assert same_bits(*cache.get(KEYS[:1], source), features[0])
    assert source.asked == [[0]] and cache.damaged == 0 and not recwarn.list


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "features"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert files(tmp_path) == [path]
    assert path.read_bytes() == b"old"


def test_a_reader_never_sees_a_part_of_what_several_write(tmp_path):
    path = tmp_path / "ab" / "features"

    def write_and_read(writer):
        for _ in range(50):
            write_whole(path, bytes([writer]) * 200_000)
            content = path.read_bytes()
            if len(content) != 200_000 or len(set(content)) != 1:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write_and_read, range(4)))
    assert files(tmp_path) == [path]


def test_pixels_teacher_and_precision_are_in_the_key(tmp_path):
    frames = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    changed = frames.clone()
    changed[1, 2, 15, 15] ^= 1
    teachers = [CLIPTeacher(Untrained(width=16, layers=3, heads=2, patch_size=4), canvas=16) for _ in range(2)]
    keys = []
    for teacher, precision in ((teachers[0], "32-true"), (teachers[1], "32-true"), (teachers[0], "bf16-mixed")):
        cache = DiskFeatureCache(tmp_path)
        cache.open(teacher, precision)
        keys += [cache.key(frames), cache.key(changed), cache.key(frames[:1]), cache.key(frames.view(2, 3, 8, 32))]
    assert len(set(keys)) == 12
    again = DiskFeatureCache(tmp_path)
    again.open(teachers[0], "32-true")
    assert again.key(frames.transpose(2, 3).contiguous().transpose(2, 3)) == keys[0]  # strides do not matter


def small_teacher(width=16):
    return CLIPTeacher(Untrained(width=width, layers=3, heads=2, patch_size=4), canvas=16)


def opened(folder, teacher):
    cache = DiskFeatureCache(folder)
    cache.open(teacher, "32-true")
    return cache


def look_up(cache, frames, counts):
    """Return what a loader's processes learn about the clips of a batch, from a copy of the cache."""
    copy = pickle.loads(pickle.dumps(cache))
    return KnownFeatures.joined([copy.look_up(clip) for clip in frames.split(counts)])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8), [2, 3, 1]


def test_features_of_another_teacher_are_not_taken(tmp_path, batch):
    frames, counts = batch
    for width in (16, 32):
        teacher = small_teacher(width)
        cache = opened(tmp_path, teacher)
        features = cache.features(teacher, frames, counts, look_up(cache, frames, counts))
        assert torch.equal(features, teacher(frames, counts))
    assert len(files(tmp_path)) == 6


def test_a_loader_reads_what_is_kept_and_takes_no_teacher_along(tmp_path, batch):
    frames, counts = batch
    teacher = small_teacher()
    cache = opened(tmp_path, teacher)
    assert len(pickle.dumps(cache)) < 1000
    assert look_up(cache, frames, counts) == KnownFeatures([cache.key(clip) for clip in frames.split(counts)], None)
    live = cache.features(teacher, frames, counts, look_up(cache, frames, counts))
    known = look_up(cache, frames, counts)
    assert same_bits(known.features, live)
    assert cache.features(None, frames, counts, known) is known.features, "asks neither disk nor teacher"


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["absent", "damaged"])
def test_what_a_loader_cannot_read_is_computed_where_the_teacher_is(tmp_path, batch, lost, monkeypatch):
    frames, counts = batch
    teacher = small_teacher()
    cache = opened(tmp_path, teacher)
    live = cache.features(teacher, frames, counts, look_up(cache, frames, counts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lost(cache.path(cache.key(frames[2:5])))
        known = look_up(cache, frames, counts)
    assert known.features is None and len(known.keys) == 3
    asked = []
    monkeypatch.setattr(teacher, "features", lambda pixels, counts: asked.append(counts) or live[2:5])
    with warnings.catch_warnings(record=True) as said:
        assert same_bits(cache.features(teacher, frames, counts, known), live)
    assert asked == [[3]] and len(said) == cache.damaged == (lost is not Path.unlink)
    assert look_up(cache, frames, counts).features is not None, "kept again"


def test_sizes_alone_can_be_computed_with_any_cache(tmp_path, batch):
    frames, counts = batch
    teacher = small_teacher()
    for cache in (NoFeatureCache(), DiskFeatureCache(tmp_path)):
        assert same_bits(cache.features(teacher, frames, counts, KnownFeatures()), teacher(frames, counts))
    assert not files(tmp_path)


def test_the_clips_of_a_batch_can_be_selected():
    known = KnownFeatures(["a", "b", "c"], torch.zeros(3, 1, 1, 1))
    assert known.select([0, 2]) == KnownFeatures(["a", "c"], None)
    assert KnownFeatures().select([]) == KnownFeatures()


def test_cached_and_live_features_give_the_same_loss(tmp_path, batch):
    frames, counts = batch
    teacher = small_teacher()
    distillation = CosineDistillation(8, 4, teacher.width)
    alignment = align(torch.tensor([[2, 2]] * 6), torch.tensor([[0, 0, 4, 4]] * 6), teacher.grid)
    states = [torch.randn(24, 8) for _ in distillation.hidden_layers]
    losses = []
    for cache in (NoFeatureCache(), opened(tmp_path, teacher), opened(tmp_path, teacher)):
        features = cache.features(teacher, frames, counts, look_up(cache, frames, counts))
        losses.append(distillation(states, alignment.pool(features), alignment.frames, alignment.frame_count))
    assert losses[0] == losses[1] == losses[2]

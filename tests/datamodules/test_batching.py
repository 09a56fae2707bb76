"""Which samples are batched together: similar ones, in an order that is fixed, whole and the same for all ranks."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.batching import RandomBatches, SeededOrder, SimilarBatches
from datamodules.checking.media_facts import NoManifest
from datamodules.records import Record, RecordStore, RecordTable, Turn
from datamodules.sample_sizes import ClipShapes, SampleSizes, sample_sizes
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.sampling import OfficialSampler

SHAPES = np.array([(0, 0, 0), (1, 8, 8), (8, 6, 8), (8, 8, 8)])
GEOMETRY = CanvasGeometry(112, 14, 2, (0, 0, 0))


def sizes_of(samples, seed=0):
    random = np.random.default_rng(seed)
    return SampleSizes(SHAPES[random.integers(0, 4, samples)], random.integers(10, 2000, samples))


SIMILAR = SimilarBatches()


def arranged(sizes, at_once, seed=0, batching=SIMILAR):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sizes.text), generator=generator).numpy()
    return batching.arrange(order, generator, lambda: sizes, at_once)


def padding_share(order, sizes, at_once):
    """Share of text positions that would be padding."""
    batches = [sizes.text[order[start : start + at_once]] for start in range(0, len(order), at_once)]
    longest = sum(len(batch) * batch.max() for batch in batches)
    return 1 - sizes.text.sum() / longest


@pytest.mark.parametrize(("samples", "at_once"), [(1000, 8), (1003, 8), (5, 8), (8, 8), (1, 1), (600, 600)])
def test_every_sample_comes_once(samples, at_once):
    order = arranged(sizes_of(samples), at_once)
    assert sorted(order) == list(range(samples))


def test_batches_are_of_one_shape_and_of_like_length():
    sizes = sizes_of(4096)
    order = arranged(sizes, at_once=8)
    batches = sizes.shapes[order].reshape(-1, 8, 3)
    mixed = (batches != batches[:, :1]).any((1, 2)).sum()
    assert mixed <= 8 * 3  # where one shape ends in a pool and the next begins: 8 pools of 4 shapes
    random = arranged(sizes, at_once=8, batching=RandomBatches())
    assert padding_share(order, sizes, 8) < 0.1 < 0.3 < padding_share(random, sizes, 8)


def test_the_largest_batch_is_first_and_the_others_come_by_chance():
    sizes = sizes_of(1024)
    order = arranged(sizes, at_once=4)
    tokens = sizes.shapes.prod(1)[order].reshape(-1, 4).sum(1)
    assert tokens[0] == tokens.max() == 4 * 512
    assert sizes.text[order[:4]].max() == max(
        sizes.text[order].reshape(-1, 4).max(1)[tokens == tokens.max()]
    )  # the longest text among the largest clips
    assert len(np.unique(np.sign(np.diff(tokens[1:])))) == 3  # neither sorted nor constant


def test_what_makes_no_whole_batch_is_last():
    sizes = sizes_of(21)
    order = arranged(sizes, at_once=8)
    generator = torch.Generator().manual_seed(0)
    assert list(order[16:]) == torch.randperm(21, generator=generator).tolist()[16:]


def test_the_order_depends_on_seed_and_epoch_and_is_shared_by_ranks():
    sizes = sizes_of(103)

    def order_of(rank, ranks, epoch, seed=1):
        arrange = partial(SimilarBatches(4).arrange, sizes=lambda: sizes, at_once=4 * ranks)
        order = SeededOrder(103, seed, rank, ranks, arrange)
        order.set_epoch(epoch)
        return [index % 103 for index in order]

    assert order_of(0, 1, epoch=2) == order_of(0, 1, epoch=2)
    assert order_of(0, 1, epoch=2) != order_of(0, 1, epoch=3)
    assert order_of(0, 1, epoch=2) != order_of(0, 1, epoch=2, seed=2)
    first, second = order_of(0, 2, epoch=5), order_of(1, 2, epoch=5)
    assert len(first) == len(second) == 52
    assert set(first) | set(second) == set(range(103))
    for start in range(0, 48, 4):  # what both compute at once is alike: neither waits for the other
        alike = [first[start : start + 4], second[start : start + 4]]
        if (sizes.shapes[alike[0]] == sizes.shapes[alike[1]]).all():
            text = [sizes.text[part].sum() for part in alike]
            assert max(text) < 2.5 * min(text)


def test_a_pool_of_one_batch_would_be_chance():
    with pytest.raises(ValueError, match="pool_batches is 1; it must be at least 2, or use RandomBatches"):
        SimilarBatches(1)


def record(name, video, question="?"):
    return Record(name, video and Path(video), (Turn(question, "!"),))


class Known(NoManifest):
    """Knows one clip."""

    def of(self, clip):
        facts = ClipFacts("wide.mp4", 1, 1, width=320, height=160, frames=3, fps=25.0)
        return facts if clip.name == "wide.mp4" else None


def test_sizes_are_told_without_opening_a_clip():
    records = RecordTable(RecordStore([
        record("a", "/m/wide.mp4"), record("b", "/m/unknown.avi", "longer?"), record("c", None),
        record("d", "/m/x.JPG"), record("e", "/m/wide.mp4"),
    ]))  # fmt: skip
    sizes = sample_sizes(records, ClipShapes(Known(), OfficialSampler(8), GEOMETRY))
    assert sizes.shapes.tolist() == [[3, 4, 8], [8, 8, 8], [0, 0, 0], [1, 8, 8], [3, 4, 8]]
    assert sizes.text[1] == sizes.text[0] + len("longer")
    part = records.select(np.array([2, 3]))
    assert sample_sizes(part, ClipShapes(Known(), OfficialSampler(8), GEOMETRY)).shapes.tolist() == [
        [0, 0, 0], [1, 8, 8],
    ]  # fmt: skip


def test_a_clip_that_cannot_be_read_is_taken_for_a_large_one():
    class Broken(NoManifest):
        def of(self, clip):
            return ClipFacts("x.mp4", 1, 1, error="no video stream")

    shape = ClipShapes(Broken(), OfficialSampler(4), GEOMETRY)
    assert shape(Path("/m/x.mp4")) == (4, 8, 8)

"""Which records are learnt from: all, the first, or the same random ones in every run."""

import numpy as np
import pytest

from datamodules.records import AllRecords, FirstRecords, RandomRecords, RandomShare, RecordSelection


def chosen(selection, count):
    indices = selection.indices(count).tolist()
    assert len(indices) == selection.size(count)
    assert indices == sorted(set(indices))
    return indices


def test_all_and_the_first():
    assert chosen(AllRecords(), 5) == [0, 1, 2, 3, 4]
    assert chosen(FirstRecords(3), 5) == [0, 1, 2]
    assert chosen(FirstRecords(5), 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("selection", "other"), [
    (RandomShare(0.5), RandomShare(0.5, seed=1)), (RandomRecords(50), RandomRecords(50, seed=1)),
])  # fmt: skip
def test_random_ones_are_the_same_every_time_and_others_for_another_seed(selection, other):
    half = chosen(selection, 101)
    assert len(half) == 50 and half == chosen(selection, 101)
    assert half != list(range(50)) and half != chosen(other, 101)
    assert 10 < sum(index < 50 for index in half) < 40


def test_a_share_chooses_as_it_always_has():
    # Runs that are compared with older ones must have learnt from the same half.
    assert chosen(RandomShare(0.5), 10) == [1, 3, 4, 5, 7]


def test_the_smallest_and_the_largest_share():
    assert len(chosen(RandomShare(0.001), 101)) == 1
    assert chosen(RandomShare(1.0), 101) == list(range(101))
    assert chosen(RandomShare(0.5), 0) == []
    assert np.issubdtype(RandomShare(0.5).indices(3).dtype, np.integer)


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"RandomShare: init_args.share is {share}; .* above 0 and at most 1"):
        RandomShare(share)


@pytest.mark.parametrize("selection", [FirstRecords, RandomRecords])
def test_a_number_that_there_is_not_is_refused(selection):
    with pytest.raises(ValueError, match=rf"{selection.__name__}: init_args.count is 0; .*at least 1"):
        selection(0)
    with pytest.raises(ValueError, match=r"init_args\.count is 6, but there are only 5 records"):
        selection(6).indices(5)
    with pytest.raises(ValueError, match="count is 6"):
        selection(6).size(5)


def test_the_family():
    assert {AllRecords, FirstRecords, RandomRecords, RandomShare} == set(RecordSelection.__subclasses__())

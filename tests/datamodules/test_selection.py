"""Which training records are learnt from: all, or the same random share in every run."""

import pytest

from datamodules.records import AllRecords, RandomShare, RecordSelection

RECORDS = list(range(101))  # a selection does not look at what it selects


def test_all_is_all():
    assert AllRecords()(RECORDS) == RECORDS


def test_a_share_is_a_random_part_in_the_order_of_the_records():
    half = RandomShare(0.5)(RECORDS)
    assert len(half) == 50 == len(set(half))
    assert half == sorted(half)
    assert half == RandomShare(0.5)(RECORDS)
    assert half != RECORDS[:50] and half != RandomShare(0.5, seed=1)(RECORDS)
    assert 10 < sum(record < 50 for record in half) < 40


def test_the_smallest_and_the_largest_share():
    assert len(RandomShare(0.001)(RECORDS)) == 1
    assert RandomShare(1.0)(RECORDS) == RECORDS
    assert RandomShare(0.5)([]) == []


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"train_records.init_args.share is {share}"):
        RandomShare(share)


def test_the_family():
    assert {AllRecords, RandomShare} == set(RecordSelection.__subclasses__())

"""What is left out is counted per clip, and too much of it ends the run."""

import pytest

from datamodules.long_records import ErrorOnLongRecords
from datamodules.skips import SkipCounter
from datamodules.video.media_policy import ErrorOnBadMedia, SkipBadMedia, Skipped


def skip(clip, reason="no video stream", record="r"):
    return Skipped(record_id=record, video=clip, reason=f"{clip}: {reason}")


def test_error_is_the_first_reason():
    counter = SkipCounter(ErrorOnBadMedia(), ErrorOnLongRecords())
    counter.expect(1000, 1)
    counter.count([])
    with pytest.raises(ValueError, match=r"a.mp4: no video stream .*SkipBadMedia"):
        counter.count([skip("a.mp4")])


def test_stops_when_the_share_is_exceeded_and_not_before():
    counter = SkipCounter(SkipBadMedia(max_share=0.02), ErrorOnLongRecords())
    counter.expect(100, 1)
    counter.count([skip("a.mp4")])
    counter.count([skip("b.mp4", "empty file")])
    with pytest.raises(ValueError, match=r"3 of 100 clips .*max_share = 0.02.* 2 x no video stream; 1 x empty file"):
        counter.count([skip("c.mp4")])


def test_a_clip_counts_once_however_often_it_comes_up():
    counter = SkipCounter(SkipBadMedia(max_share=0.01), ErrorOnLongRecords())
    counter.expect(100, 1)
    for epoch in range(5):
        counter.count([skip("a.mp4", record=f"r{epoch}"), skip("a.mp4", record="other question")])
    assert counter.failed == {"a.mp4": "a.mp4: no video stream"}


def test_share_refers_to_the_largest_split():
    counter = SkipCounter(SkipBadMedia(max_share=0.01), ErrorOnLongRecords())
    for clips in (10, 1000, 20):
        counter.expect(clips, 1)
    counter.count([skip(f"{number}.mp4") for number in range(10)])
    with pytest.raises(ValueError, match="11 of 1000"):
        counter.count([skip("last.mp4")])


def test_no_failure_is_allowed_with_a_share_of_0():
    counter = SkipCounter(SkipBadMedia(max_share=0.0), ErrorOnLongRecords())
    counter.expect(10**6, 1)
    with pytest.raises(ValueError, match="1 of 1000000"):
        counter.count([skip("a.mp4")])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_outside_0_to_1(share):
    with pytest.raises(ValueError, match="max_share"):
        SkipBadMedia(share)

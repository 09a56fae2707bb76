"""Every question is in one batch of one process, beside others about its clip."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from datamodules.batching import EvaluationBatches, SharedBatches
from datamodules.records import Record, Turn

RECORDS = [
    Record(str(number), Path(f"{number * 7 % 5}.mp4"), (Turn("?" * (1 + number * 11 % 8), "yes"),))
    for number in range(23)
]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("answered", [(), ("3", "4", "22")])
def test_processes_share_the_questions(ranks, answered):
    orders = [EvaluationBatches(RECORDS, 4, rank, ranks, answered) for rank in range(ranks)]
    assert len({len(order) for order in orders}) == 1
    asked = Counter(RECORDS[index].id for order in orders for batch in order for index in batch)
    assert set(asked) == {record.id for record in RECORDS} - set(answered) and set(asked.values()) == {1}
    assert all(len(batch) <= 4 for order in orders for batch in order)


def test_a_clip_is_asked_about_at_a_time_and_short_questions_first():
    order = [RECORDS[index] for batch in EvaluationBatches(RECORDS, 4) for index in batch]
    assert sum(one.video != other.video for one, other in pairwise(order)) == 4
    assert all(
        len(one.turns[-1].question) <= len(other.turns[-1].question)
        for one, other in pairwise(order)
        if one.video == other.video
    )


def test_where_all_is_answered_one_is_asked_again():
    everything = {record.id for record in RECORDS}
    assert [list(EvaluationBatches(RECORDS, 4, rank, 2, everything)) for rank in (0, 1)] == [[[0]], [[]]]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_in_the_order_of_the_records_each_is_in_one_batch_of_one_process(ranks):
    orders = [list(SharedBatches(range(23), 4, rank, ranks)) for rank in range(ranks)]
    assert len({len(order) for order in orders}) == 1
    in_turn = [index for batches in zip(*orders, strict=True) for batch in batches for index in batch]
    assert in_turn == list(range(23))

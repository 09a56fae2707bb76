"""Records in buffers are the records that went in, in this process and in others."""

import gc
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from datamodules.batching import SeededOrder
from datamodules.processes import start_worker
from datamodules.records import Record, RecordStore, RecordTable, Turn

RECORDS = [
    Record(
        f"r{number}",
        Path(f"/media/{number // 2}.mp4"),
        tuple(Turn(f"Q{number}.{turn} é球🎈\0\n\"", f"A{turn}\u2028") for turn in range(1 + number % 3)),
        family="even" if number % 2 == 0 else "all",
    )
    for number in range(20)
]  # fmt: skip


@pytest.fixture
def table():
    return RecordTable(RecordStore(RECORDS))


def test_records_come_back(table):
    assert list(table) == RECORDS
    assert len(table) == 20
    assert table[-1] == RECORDS[-1]
    assert RECORDS[3] in table
    for index in (20, -21):
        with pytest.raises(IndexError):
            table[index]
    assert list(RecordTable(RecordStore())) == []


def test_the_place_of_a_record_comes_back():
    places = [
        "qa.json, record 7",
        "qa.json, record 8",
        "b/x y.jsonl, line 3",
        "",
        "row of nowhere",
        "qa.json, record 007",
    ]
    records = [Record(str(n), None, (Turn("Q", "A"),), where=where) for n, where in enumerate(places)]
    assert [record.where for record in RecordTable(RecordStore(records))] == places


def test_a_part_is_chosen_by_slice_or_indices(table):
    assert list(table[5:2:-1]) == RECORDS[5:2:-1]
    assert list(table[3:][:2]) == RECORDS[3:5]
    assert list(table.select(np.array([7, 1]))) == [RECORDS[7], RECORDS[1]]
    assert list(table.select(np.array([], dtype=np.int64))) == []


def test_copies_have_ids_of_their_own(table):
    repeated = table.select(np.array([4, 1, 4, 4, 1, 0]))
    assert [record.id for record in repeated] == ["r4", "r1", "r4#2", "r4#3", "r1#2", "r0"]
    assert repeated[2].turns == RECORDS[4].turns
    assert [record.id for record in repeated[2:4]] == ["r4", "r4#2"]


def test_clips_are_counted_once(table):
    assert table.clip_count() == 10
    assert table[:5].clip_count() == 3
    assert table.select(np.array([0, 0, 1])).clip_count() == 1


def test_a_file_name_that_is_not_utf8_stays_as_it_is():
    name = Path(os.fsdecode(b"/media/\xff\xe9.mp4"))
    (record,) = RecordTable(RecordStore([Record("x", name, (Turn("Q", "A"),))]))
    assert record.video == name


def as_list(table, pipe):
    pipe.send(list(table))


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_sees_the_same(table, method):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe()
    process = context.Process(target=as_list, args=(table[3:], sender))
    process.start()
    assert receiver.recv() == RECORDS[3:]
    process.join()


def freeze_count(pipe):
    start_worker(0)
    pipe.send(gc.get_freeze_count())


def test_a_loader_process_leaves_alone_what_it_inherits():
    # Its garbage collection would write to every inherited object, and so copy all their pages.
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=freeze_count, args=(sender,))
    process.start()
    assert receiver.recv() > 10_000
    process.join()


def test_it_can_be_pickled(table):
    assert list(pickle.loads(pickle.dumps(table))) == RECORDS


def test_the_order_does_not_depend_on_the_number_of_loader_processes(table):
    seen = [
        list(DataLoader(table, batch_size=3, num_workers=workers, collate_fn=list, sampler=SeededOrder(20, seed=1)))
        for workers in (0, 1, 2)
    ]
    assert seen[0] == seen[1] == seen[2]
    assert sorted(record.id for batch in seen[0] for record in batch) == sorted(record.id for record in RECORDS)

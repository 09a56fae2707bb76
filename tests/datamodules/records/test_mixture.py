"""Several sources in one training set: how many of each, which, and under which ids."""

import logging
from collections import Counter

import pytest

from datamodules.conversations import MixedConversations
from datamodules.records import (
    FirstRecords,
    RandomRecords,
    RandomShare,
    RecordError,
    Source,
    VideoChatGPT,
    mix,
)
from datamodules.video.frame_cache import NoCache
from datamodules.video.media_policy import ErrorOnBadMedia
from datamodules.video.sampling import UniformSampler
from datamodules.video.shown_frames import TrueFrames
from tests.datamodules.training_files import llava, make_media, write


@pytest.fixture
def files(tmp_path):
    """Two files in folders of their own, whose records and clips have the same names."""
    for name, count in (("valley", 40), ("chat", 10)):
        make_media(tmp_path / name, "a.mp4", "b.mp4")
        items = [llava("ab"[number % 2] + ".mp4", "<video>Q", name, id=str(number)) for number in range(count)]
        write(tmp_path / f"{name}.json", items)
    return tmp_path


def source(files, file, **settings):
    return Source(str(files / f"{file}.json"), media_root=str(files / file), **settings)


def ids(records):
    return [record.id for record in records]


def test_one_source_is_its_file(files):
    records = mix([source(files, "valley")])
    assert ids(records) == [str(number) for number in range(40)]


def test_two_sources_have_their_names_in_ids_and_their_own_clips(files):
    records = mix([source(files, "chat"), source(files, "valley", name="webvid")])
    assert ids(records) == [f"chat/{number}" for number in range(10)] + [f"webvid/{number}" for number in range(40)]
    assert records[3].video == files / "chat/b.mp4" and records[3].turns[0].answer == "chat"
    assert records[10].video == files / "valley/a.mp4" and records[10].turns[0].answer == "valley"
    assert records.clip_count() == 4


def test_two_records_of_one_name_in_a_source_are_an_error(files):
    write(files / "chat.json", [llava(id="x"), llava(id="x")])
    with pytest.raises(RecordError, match=r"chat\.json, record 1: id 'x' is taken by .*chat\.json, record 0"):
        mix([source(files, "valley"), source(files, "chat")])


def test_two_sources_of_one_name_need_others(files):
    with pytest.raises(RecordError, match="two sources are called 'chat'; give each a `name`"):
        mix([source(files, "chat"), source(files, "valley"), source(files, "chat")])
    both = [source(files, "chat", name="first"), source(files, "chat", name="again")]
    assert len(set(ids(mix(both)))) == 20


@pytest.mark.parametrize(
    ("settings", "count", "copies"),
    [
        ({}, 40, {1}),
        ({"repeat": 2.0}, 80, {2}),
        ({"repeat": 2.5}, 100, {2, 3}),
        ({"repeat": 0.25}, 10, {1}),
        ({"repeat": 1.01}, 40, {1}),
        ({"take": lambda: FirstRecords(7)}, 7, {1}),
        ({"take": lambda: RandomRecords(7), "repeat": 3}, 21, {3}),
        ({"take": lambda: RandomShare(0.5), "repeat": 0.5}, 10, {1}),
    ],
)
def test_exactly_as_many_records_as_asked_for(files, settings, count, copies):
    records = mix([source(files, "valley", **settings), source(files, "chat")])
    assert len(records) == count + 10 == len(set(ids(records)))
    assert ids(records[count:]) == [f"chat/{number}" for number in range(10)]
    assert set(Counter(name.partition("#")[0] for name in ids(records[:count])).values()) == copies


def test_chance_follows_its_seed_alone(files):
    def chosen(**settings):
        return ids(mix([source(files, "valley", **settings)]))

    assert chosen(repeat=1.5) == chosen(repeat=1.5) != chosen(repeat=1.5, repeat_seed=1)
    one, other = (lambda: RandomRecords(9, seed=0)), (lambda: RandomRecords(9, seed=1))
    assert chosen(take=one) == chosen(take=one) != chosen(take=other)
    assert chosen(take=lambda: FirstRecords(9)) == [str(number) for number in range(9)]


def test_a_source_may_have_a_form_of_its_own(files):
    write(files / "chat.json", [{"q": "What?", "a": "That.", "video_id": "a"}])
    records = mix([source(files, "valley"), source(files, "chat", form=VideoChatGPT)])
    assert records[40].id == "chat/record-0" and records[40].video == files / "chat/a.mp4"


def test_the_log_says_how_many_come_from_where(files, caplog):
    with caplog.at_level(logging.INFO):
        mix([source(files, "valley", take=lambda: FirstRecords(30), repeat=1.5), source(files, "chat")])
    assert caplog.messages == ["valley: 45 samples from 30 of 40 records", "chat: 10 samples from 10 of 10 records"]


@pytest.mark.parametrize("repeat", [0, -1.0, float("nan"), float("inf")])
def test_a_repetition_that_is_none_is_refused(files, repeat):
    with pytest.raises(RecordError, match=rf"repeat of the source valley is {repeat}; it must be above 0"):
        mix([source(files, "chat"), source(files, "valley", repeat=repeat)])


def test_sources_that_give_nothing_are_refused(files):
    with pytest.raises(RecordError, match=r"chat\.json: nothing is left of 10 records repeated 0.01 times"):
        mix([source(files, "chat", repeat=0.01)])
    with pytest.raises(RecordError, match=r"chat\.json: FirstRecords: init_args.count is 11, but there are only 10"):
        mix([source(files, "chat", take=lambda: FirstRecords(11))])
    write(files / "chat.json", [])
    with pytest.raises(RecordError, match=r"chat\.json: has no records"):
        mix([source(files, "valley"), source(files, "chat")])


def conversations(train, val, **settings):
    return MixedConversations(
        train, val, val, canvas=112, sampler=UniformSampler(2), shown_frames=TrueFrames(), frame_cache=NoCache(),
        bad_media=ErrorOnBadMedia(), **settings,
    )  # fmt: skip


def test_a_data_module_learns_from_a_part_of_its_sources_and_asks_single_questions(files):
    chat, valley = Source(str(files / "chat.json")), source(files, "valley", repeat=0.5)
    half = {"train_records": lambda: RandomShare(0.5)}
    data = conversations([chat, valley], [valley], media_root=str(files / "chat"), **half)
    assert data.count_training_records() == 30
    train = data.records("train")
    assert len(train) == 15 == len(set(ids(train)))
    assert {name.partition("/")[0] for name in ids(train)} == {"chat", "valley"}
    assert ids(data.records("val")) == [f"{name}/0" for name in ids(mix([valley]))]


def test_a_split_without_sources_or_a_source_without_folder_is_refused(files):
    with pytest.raises(ValueError, match=r"data\.init_args\.train is an empty list"):
        conversations([], [source(files, "chat")])
    data = conversations([Source(str(files / "chat.json"))], [source(files, "chat")])
    with pytest.raises(RecordError, match=r"chat\.json: no media_root is set; set data\.init_args\.media_root"):
        data.records("train")

"""LLaVA-style files: what is good is loaded in full, what is not is an error that says where and what to change."""

import json
from pathlib import Path

import pytest

from datamodules.records import Record, RecordError, Turn, load_records
from tests.datamodules.training_files import llava, make_media
from tests.datamodules.training_files import write as write_file

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def media(tmp_path):
    return make_media(tmp_path / "media", "a.mp4", "b.mp4", "sub/c.mp4")


def write(media, content, name="records.json"):
    return write_file(media.parent / name, content)


def load(media, content, name="records.json"):
    return load_records(write(media, content, name), media)


def test_real_conversations():
    path = DATA / "real_clips_qa.json"
    items = json.loads(path.read_text())
    records = load_records(path, DATA)
    assert [loaded.id for loaded in records] == [item["id"] for item in items]
    for loaded, item in zip(records, items, strict=True):
        assert loaded.video.samefile(DATA / item["video"])
        texts = [text for turn in loaded.turns for text in (turn.question, turn.answer)]
        values = [turn["value"] for turn in item["conversations"]]
        assert texts == [values[0].replace("<video>", "").strip(), *values[1:]]


@pytest.mark.parametrize(
    "question", ["<video>\nWhat?", "What?\n<video>", "<video>What?", "What?<video>", "<video> \n What?\n"]
)
def test_tag_is_taken_out_of_the_question(media, question):
    (loaded,) = load(media, [llava("a.mp4", question, "That.", "And?", "This.")])
    assert loaded == Record("record-0", media / "a.mp4", (Turn("What?", "That."), Turn("And?", "This.")))


def test_json_lines(media):
    lines = "\n".join([json.dumps(llava(id="x")), "", json.dumps(llava("sub/c.mp4", id=7))]) + "\n"
    assert [(loaded.id, loaded.video.name) for loaded in load(media, lines, "records.jsonl")] == [
        ("x", "a.mp4"),
        ("7", "c.mp4"),
    ]


def test_other_keys_and_scripts_and_a_byte_order_mark_are_fine(media):
    item = llava("a.mp4", "<video>\nÀ quoi joue-t-il? 🎈", "球", source="valley", duration=3)
    path = media.parent / "records.json"
    path.write_text(json.dumps([item]), encoding="utf-8-sig")
    (loaded,) = load_records(path, media)
    assert loaded.turns == (Turn("À quoi joue-t-il? 🎈", "球"),)


BAD_RECORDS = {
    "no tag": (llava("a.mp4", "What?", "That."), r"record 1, conversations\[0\]: there is no <video>"),
    "two tags": (llava("a.mp4", "<video><video>What?", "That."), r"conversations\[0\]: <video> comes up 2 times"),
    "tag amid": (llava("a.mp4", "What <video> is?", "That."), "amid the question"),
    "late tag": (llava("a.mp4", "<video>A?", "B.", "<video>C?", "D."), r"conversations\[2\]: holds <video>"),
    "tag in answer": (llava("a.mp4", "<video>A?", "<video>"), r"conversations\[1\]: holds <video>"),
    "image tag": (llava("a.mp4", "<video>A?", "B.", "<image>C?", "D."), r"conversations\[2\]: holds <image>"),
    "no answer": (llava("a.mp4", "<video>A?"), "the last question has no answer"),
    "empty answer": (llava("a.mp4", "<video>A?", " "), r"conversations\[1\]: the answer is empty"),
    "no turns": ({"video": "a.mp4", "conversations": []}, "'conversations' is empty"),
    "no video, but its tag": ({"conversations": llava()["conversations"]}, r"conversations\[0\]: holds <video>, but"),
    "no video and no turns": ({"conversations": []}, "'conversations' is empty"),
    "no conversations": ({"video": "a.mp4"}, "record 1: has no 'conversations'"),
    "turns not a list": ({"video": "a.mp4", "conversations": {}}, "'conversations' is an object"),
    "turn not an object": ({"video": "a.mp4", "conversations": ["x"]}, r"conversations\[0\]: is the value 'x'"),
    "value not a string": (
        {"video": "a.mp4", "conversations": [{"from": "human", "value": 3}]},
        r"conversations\[0\]: 'value' is the value 3",
    ),
    "no from": ({"video": "a.mp4", "conversations": [{"value": "<video>"}]}, r"'from' is missing"),
    "wrong order": (
        {"video": "a.mp4", "conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "<video>"}]},
        r"conversations\[0\]: is from 'gpt'; .*'human' is due",
    ),
    "unknown role": ({"video": "a.mp4", "conversations": [{"from": "user", "value": "<video>"}]}, "'user'"),
    "video not a string": (llava(["a.mp4", "b.mp4"]), "'video' is a list"),
    "video empty": (llava(""), "'video' is the value ''"),
    "id not a name": (llava(id=[1]), "'id' is a list"),
    "id true": (llava(id=True), "'id' is the value True"),
    "not an object": ("a.mp4", "record 1: is the value 'a.mp4'"),
    "same id": (llava(id="first"), r"record 1: id 'first' is taken by .*record 0"),
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_bad_record(kind, media):
    item, message = BAD_RECORDS[kind]
    with pytest.raises(RecordError, match=message) as caught:
        load(media, [llava(id="first"), item])
    assert "records.json, record 1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_lines_error_has_its_line(media):
    lines = json.dumps(llava(id="x")) + "\n\n" + json.dumps(llava("a.mp4", "What?", "That.")) + "\n"
    with pytest.raises(RecordError, match=r"records\.jsonl, line 3, conversations\[0\]: there is no <video>"):
        load(media, lines, "records.jsonl")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ('[{"video": "a.mp4",\n  "conversations": [}]', "records.json", "line 2, column 21: not valid JSON"),
        ('{"a": 1}\n{"a": }\n', "records.jsonl", "line 1: has no 'conversations'"),
        ("\n\n{]", "records.jsonl", "line 3, column 2: not valid JSON"),
        ("", "records.json", "line 1, column 1: not valid JSON"),
        ('{"video": "a.mp4"}', "records.json", "holds an object; it must be a list"),
        ("[" * 100000, "records.json", "cannot be records"),
        ("[" + "9" * 5000 + "]", "records.json", "cannot be records"),
        ('[{"video": "\\ud800"}]', "records.json", "surrogate"),
    ],
)
def test_not_records(content, name, message, media):
    with pytest.raises(RecordError, match=message):
        load(media, content, name)


def test_file_that_cannot_be_read(media):
    with pytest.raises(RecordError, match=r"none\.json: cannot be read: No such file"):
        load_records(media.parent / "none.json", media)
    (media.parent / "latin.json").write_bytes("é".encode("latin-1"))
    with pytest.raises(RecordError, match="not UTF-8 at byte 0"):
        load_records(media.parent / "latin.json", media)


def test_missing_media_folder(media):
    path = write(media, [llava()])
    with pytest.raises(RecordError, match=r"folder does not exist: .*nowhere"):
        load_records(path, media / "nowhere")


def test_missing_videos_are_all_counted_and_some_named(media):
    items = [llava(f"gone/{number // 2}.mp4") for number in range(20)] + [llava()]
    with pytest.raises(
        RecordError, match=r"10 video files are missing .* of 20 records: gone/0.mp4, .*gone/4.mp4, \.\.\."
    ):
        load(media, items)
    with pytest.raises(RecordError, match="1 video files are missing"):
        load(media, [llava("sub")])  # a folder is no file


@pytest.mark.parametrize(
    "video",
    [
        "../secret.mp4",
        "/a.mp4",
        "/sub/c.mp4",
        "sub/../a.mp4",
        "/etc/passwd",
        "sub/../../secret.mp4",
        "..",
        ".",
        "a\0b.mp4",
    ],
)
def test_path_that_leads_out(video, media):
    (media.parent / "secret.mp4").touch()
    with pytest.raises(RecordError, match=r"record 2: video .* not a path below the media folder"):
        load(media, [llava(), llava("sub/c.mp4"), llava(video)])


def test_links(media):
    outside = media.parent / "outside"
    outside.mkdir()
    (outside / "secret.mp4").touch()
    (media / "link.mp4").symlink_to(outside / "secret.mp4")
    (media / "folder").symlink_to(outside)
    (media / "inside.mp4").symlink_to(media / "sub/c.mp4")
    with pytest.raises(RecordError, match=r"'link.mp4' is a link that leads out"):
        load(media, [llava("link.mp4")])
    with pytest.raises(RecordError, match="folder is a link that leads out"):
        load(media, [llava("folder/secret.mp4")])
    (loaded,) = load(media, [llava("inside.mp4")])
    assert loaded.video == media / "sub/c.mp4"


def test_media_root_may_be_a_link(media):
    path = write(media, [llava()])
    link = media.parent / "link"
    link.symlink_to(media)
    (loaded,) = load_records(path, link)
    assert loaded.video == media / "a.mp4"

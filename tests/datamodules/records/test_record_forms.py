"""Files in other forms than LLaVA's: what each reads, what it refuses, and which form an error recommends."""

import re
from pathlib import Path

import pytest

from components.registry import members
from datamodules import records
from datamodules.records import (
    LlamaFactory,
    LLaVA,
    LmmsFinetune,
    Record,
    RecordError,
    RecordForm,
    Turn,
    VideoChatFlash,
    VideoChatGPT,
    load_records,
)
from tests.datamodules.training_files import llava, make_media, write


def flash(question="<image>\nWhat?", *values, **more):
    """As in VideoChat-Flash: the tag of an image for a video, and a duration."""
    return llava("a.mp4", question, *(values or ("That.",)), duration=23.77, **more)


def lmms(**more):
    """As in lmms-finetune: no id, no line break after the tag, maybe a system prompt."""
    return llava("a.mp4", "<video>What?", "That.", **more)


def factory(*contents, videos=("a.mp4",), **more):
    """As in LLaMA-Factory's demonstration: messages and a list of videos."""
    contents = contents or ("<video>What?", "That.")
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return {"messages": messages, "videos": list(videos), **more}


def chatgpt(q="What?", a="That.", video_id="a", **more):
    """As in VideoInstruct-100K."""
    return {"q": q, "a": a, "video_id": video_id, **more}


@pytest.fixture
def load(tmp_path):
    media = make_media(tmp_path / "media", "a.mp4", "b.webm", "b.txt", "b.MP4.part", "c.mkv", "c.mp4", "sub/d.e.AVI")

    def load_one(form, *items):
        return load_records(write(tmp_path / "records.json", list(items)), media, form)

    return load_one


TWO = (Turn("What?", "That."), Turn("And?", "This."))
READ = [
    (LLaVA(), lmms(), (Turn("What?", "That."),)),
    (LLaVA(), llava("a.mp4", "What?\n<video>", "That."), (Turn("What?", "That."),)),
    (LLaVA(), {"image": "a.mp4", "conversations": flash()["conversations"]}, (Turn("What?", "That."),)),
    (VideoChatFlash(), flash(), (Turn("What?", "That."),)),
    (VideoChatFlash(), flash("What?\n<image>", "That.", "And?", "This."), TWO),
    (LmmsFinetune(), lmms(), (Turn("What?", "That."),)),
    (LmmsFinetune(), lmms(system_prompt="Be brief.\n"), (Turn("Be brief.\nWhat?", "That."),)),
    (LlamaFactory(), factory(), (Turn("What?", "That."),)),
    (LlamaFactory(), factory("<video>What?", "That.", "And?", "This."), TWO),
    (VideoChatGPT(), chatgpt(), (Turn("What?", "That."),)),
]  # fmt: skip


@pytest.mark.parametrize(("form", "item", "turns"), READ)
def test_records_are_read_and_named_by_their_position(load, tmp_path, form, item, turns):
    (record,) = load(form, item)
    assert (record.id, record.video, record.turns) == ("record-0", tmp_path / "media/a.mp4", turns)
    (record,) = load(form, {**item, "id": 7})
    assert record.id == "7"


def test_a_first_message_of_the_system_comes_before_the_question(load):
    item = factory()
    item["messages"].insert(0, {"role": "system", "content": "Be brief."})
    (record,) = load(LlamaFactory(), item)
    assert record.turns == (Turn("Be brief.\nWhat?", "That."),)


def test_a_video_without_extension_is_looked_up(load, tmp_path):
    names = [record.video.name for record in load(VideoChatGPT(), chatgpt(), chatgpt(video_id="b"),
                                                  chatgpt(video_id="sub/d.e"))]  # fmt: skip
    assert names == ["a.mp4", "b.webm", "d.e.AVI"]
    with pytest.raises(RecordError, match=r"record 0: video 'c' may be any of c\.mkv, c\.mp4; leave one"):
        load(VideoChatGPT(), chatgpt(video_id="c"))
    with pytest.raises(RecordError, match=r"2 video files are missing in .* of 3 records: x, y\.mp4;"):
        load(VideoChatGPT(), chatgpt(video_id="x"), chatgpt(video_id="x"), chatgpt(video_id="y.mp4"))
    with pytest.raises(RecordError, match=r"video '\.\./a' is not a path below the media folder"):
        load(VideoChatGPT(), chatgpt(video_id="../a"))
    (tmp_path / "secret.mp4").touch()
    (tmp_path / "media/link.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(RecordError, match="'link' is a link that leads out"):
        load(VideoChatGPT(), chatgpt(video_id="link"))


REFUSED = [
    (LLaVA(), lmms(image="a.jpg"), "record 0: has 'video' and 'image' too; .* take 'image' and the turns about it out"),
    (LLaVA(), {"image": ["a.jpg"], "conversations": []}, "'image' is a list; it must be the name of a file"),
    (LLaVA(), {"image": "a.jpg", "conversations": lmms()["conversations"]}, "holds <video>, but it is about one clip"),
    (LLaVA(), {"image": "a.jpg", "audio": "a.wav"}, "has no 'conversations'"),
    (LLaVA(), {"image": "a.jpg", "audio": "a.wav", "conversations": []}, "has 'image' and 'audio' too"),
    (LLaVA(), {"conversations": lmms()["conversations"]}, "holds <video>, but the record names no clip"),
    (LLaVA(), {**lmms(), "video": None}, "holds <video>, but the record names no clip"),
    (LLaVA(), {"images": ["a.jpg"], "conversations": lmms()["conversations"]}, "has 'images', which this form"),
    (LmmsFinetune(), {"audio": "a.wav", "conversations": []}, "has 'audio', which this form does not read"),
    (VideoChatFlash(), flash(image="a.jpg"), "has 'video' and 'image' too"),
    (VideoChatFlash(), flash("<image>A?", "B.", "<image>C?", "D."), r"conversations\[2\]: holds <image>; the tag"),
    (VideoChatFlash(), flash("<image><image>A?"), "<image> comes up 2 times"),
    (VideoChatFlash(), flash("<image>A <video>?"), "holds <video>, but it is about one clip"),
    (LmmsFinetune(), lmms(image="a.jpg", system_prompt="x"), "has 'video' and 'image' too"),
    (LmmsFinetune(), lmms(system_prompt=["x"]), "'system_prompt' is a list; it must be a string"),
    (LlamaFactory(), factory(videos=["a.mp4", "b.webm"]), "'videos' names 2 files; a record is about one video"),
    (LlamaFactory(), factory(videos=[]), r"messages\[0\]: holds <video>, but the record names no clip"),
    (LlamaFactory(), factory(videos=[3]), "'videos' is the value 3; it must be the name of a file"),
    (LlamaFactory(), {**factory(), "videos": "a.mp4"}, "'videos' is the value 'a.mp4'; it must be a list"),
    (LlamaFactory(), factory(images=["a.jpg"]), "has 'videos' and 'images' too"),
    (LlamaFactory(), factory("What?", "That."), r"messages\[0\]: there is no <video>"),
    (LlamaFactory(), factory("<video>A?", "B.", "C?"), "the last question has no answer; add a turn from 'assistant'"),
    (LlamaFactory(), {"messages": "x", "videos": ["a.mp4"]}, "'messages' is the value 'x'; it must be a list"),
    (LlamaFactory(), {"messages": [], "videos": ["a.mp4"]}, "'messages' is empty"),
    (LlamaFactory(), {"messages": [{"role": "system", "content": "x"}], "videos": ["a.mp4"]}, "has no answer"),
    (LlamaFactory(), {"messages": ["x"], "videos": ["a.mp4"]}, r"messages\[0\]: is the value 'x'"),
    (LlamaFactory(), {"messages": [{"role": "tool", "content": "<video>"}], "videos": ["a.mp4"]}, "is from 'tool'"),
    (LlamaFactory(), {"messages": []}, "'messages' is empty"),
    (LlamaFactory(), {"messages": [], "images": ["a.jpg"]}, "has 'images', which this form does not read"),
    (LlamaFactory(), {"videos": ["a.mp4"]}, "has no 'messages'"),
    (VideoChatGPT(), chatgpt(q=3), "'q' is the value 3; it must be a string"),
    (VideoChatGPT(), chatgpt(a=None), "'a' is missing or null"),
    (VideoChatGPT(), chatgpt(a=" "), "the answer is empty"),
    (VideoChatGPT(), chatgpt(q="<video>A?"), "'q': holds <video>, but this form has no tags"),
    (VideoChatGPT(), chatgpt(video_id=12), "'video_id' is the value 12"),
    (VideoChatGPT(), {"q": "A?", "a": "B."}, r"has no 'video_id'; its keys are \['a', 'q'\]"),
    (VideoChatGPT(), chatgpt(id=[1]), "'id' is a list"),
    (VideoChatGPT(), "a.mp4", "record 0: is the value 'a.mp4'; a record must be an object"),
]  # fmt: skip


TALK = [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "B."}]


@pytest.mark.parametrize(
    ("form", "item"),
    [
        (LLaVA(), {"conversations": TALK}),
        (VideoChatFlash(), {"conversations": TALK}),
        (LmmsFinetune(), {"conversations": TALK}),
        (LlamaFactory(), {"messages": factory("A?", "B.")["messages"]}),
        (LlamaFactory(), factory("A?", "B.", videos=[])),
        (LLaVA(), {"id": None, "video": None, "image": None, "conversations": TALK}),
        (LlamaFactory(), {**factory("A?", "B."), "videos": None}),
    ],
)
def test_a_record_that_names_no_clip_is_text_alone(load, form, item):
    (record,) = load(form, item)
    assert record == Record("record-0", None, (Turn("A?", "B."),))


@pytest.mark.parametrize(("form", "item", "message"), REFUSED)
def test_bad_records_are_refused(load, form, item, message):
    with pytest.raises(RecordError, match=message) as caught:
        load(form, item)
    assert "records.json, record 0" in str(caught.value) and "\n" not in str(caught.value)
    assert "is of the form" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "item", "right"),
    [
        (LLaVA(), flash(), "VideoChatFlash"),
        (LLaVA(), lmms(system_prompt="Be brief."), "LmmsFinetune"),
        (LLaVA(), factory(), "LlamaFactory"),
        (LLaVA(), chatgpt(), "VideoChatGPT"),
        (VideoChatFlash(), lmms(), "LLaVA"),
        (VideoChatGPT(), factory(), "LlamaFactory"),
        (LlamaFactory(), llava(), "LLaVA"),
    ],
)
def test_an_error_names_the_form_that_would_read_the_record(load, form, item, right):
    with pytest.raises(RecordError, match=rf"The record is of the form {right}: set `form: {right}`$"):
        load(form, item)


def test_the_forms_that_errors_recommend_can_be_named_in_yaml_and_are_documented():
    documented = re.findall(r"^\| `(\w+)` \|", Path("docs/training_files.md").read_text(), re.MULTILINE)
    forms = members(RecordForm)
    assert forms == {name: getattr(records, name) for name in forms}
    assert set(forms) == {name for name in documented if name in records.__all__}

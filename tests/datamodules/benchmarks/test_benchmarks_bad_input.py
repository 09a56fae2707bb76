"""Question files and descriptions that cannot be used: one error, which says where and what to change."""

import json

import pytest

from datamodules import benchmarks
from datamodules.benchmarks import OneType, SeparateAnswers, TypeCodes, TypeNames
from datamodules.records import RecordError
from tests.datamodules.benchmark_excerpts import (
    FILES,
    benchmark,
    contents,
    data,
    question_file,
    write,
    write_clips,
    write_small,
)

NEXTQA = "video,question,answer,qid,type,a0,a1,a2,a3,a4\n"
REMOVED = object()
# Form, file, row, what is changed in it, message.
BAD_ROWS = {
    "a question's id twice": ("SeparateAnswers", "q.json", 1, {"question_id": "v_clip_a_1"},
     "q.json, row 1: question_id 'v_clip_a_1' is taken by .*row 0"),
    "an answer's id twice": ("SeparateAnswers", "a.json", 2, {"question_id": "v_clip_b_1"},
     "a.json, row 2: question_id 'v_clip_b_1' is taken by .*a.json, row 0"),
    "other ids": ("SeparateAnswers", "a.json", 0, {"question_id": "x"},
     "a.json: 1 questions have no answer here, by question_id: v_clip_b_1"),
    "no id": ("SeparateAnswers", "q.json", 0, {"question_id": REMOVED},
     "row 0: has no 'question_id'; it has 'video_name', 'question'"),
    "id no name": ("SeparateAnswers", "q.json", 0, {"question_id": True}, "row 0: 'question_id' is the value True"),
    "no answer": ("SeparateAnswers", "a.json", 1, {"answer": " "}, "a.json, row 1: 'answer' is empty"),
    "answer no text": ("SeparateAnswers", "a.json", 1, {"answer": 3},
     "a.json, row 1: 'answer' is the value 3; it must be a text"),
    "no question": ("SeparateAnswers", "q.json", 2, {"question": ""}, "q.json, row 2: 'question' is empty"),
    "no name of a video": ("SeparateAnswers", "q.json", 2, {"video_name": None},
     "q.json, row 2: 'video_name' is missing or null"),
    "type no name": ("SeparateAnswers", "a.json", 0, {"type": [3]}, "a.json, row 0: 'type' is a list"),
    "unknown number of a video": ("MSVDQuestions", "q.json", 0, {"video_id": 9},
     "row 0: video_id 9 has no line vid9 in .*m.txt"),
    "video no number": ("MSVDQuestions", "q.json", 0, {"video_id": "vid5"},
     "row 0: 'video_id' is 'vid5'; it must be a whole number"),
    "MSVD id twice": ("MSVDQuestions", "q.json", 1, {"id": 10}, "row 1: id '10' is taken by .*row 0"),
    "id is another's place": ("MSRVTTQuestions", "q.json", 1, {"id": 0}, "row 1: id '0' is taken by .*row 0"),
    "no video": ("MSRVTTQuestions", "q.json", 0, {"video_id": REMOVED}, "row 0: has no 'video_id'"),
    "torn question": ("FlatQuestions", "q.json", 1, {"answer": "? room"},
     r'1 of 2 answers begin with "\? ", the first in row 1: .*TGIFFrameQuestions'),
    "flat without answer": ("FlatQuestions", "q.json", 1, {"answer": REMOVED}, "row 1: has no 'answer'"),
    "one question of two": ("VideoChatGPTQuestions", "c.json", 0, {"Q2": REMOVED}, "c.json, row 0: has no 'Q2'"),
    "right option beyond the last": ("EgoSchemaQuestions", "a.json", "clip_b", 5,
     "row 1: option 5 is said to be right; the options are 0 to 4"),
    "right option no number": ("EgoSchemaQuestions", "a.json", "clip_b", "B",
     "a.json: 'clip_b' is 'B'; it must be a whole number"),
    "right option below 0": ("EgoSchemaQuestions", "a.json", "clip_b", -1,
     "a.json: 'clip_b' is '-1'; it must be a whole number from 0"),
    "answer without question": ("EgoSchemaQuestions", "a.json", "clip_z", 1, "1 answers have no question here: clip_z"),
    "option missing": ("EgoSchemaQuestions", "q.json", 0, {"option 4": REMOVED}, "row 0: has no 'option 4'"),
    "right letter beyond the last": ("VideoMMEQuestions", "q.jsonl", 0, {"answer": "E"},
     "line 1: 'answer' is 'E'; it must be one of A, B, C, D"),
    "two right letters": ("VideoMMEQuestions", "q.jsonl", 0, {"answer": "AB"}, "line 1: 'answer' is 'AB'"),
    "options without letters": ("VideoMMEQuestions", "q.jsonl", 0, {"options": ["Run.", "Sleep."]},
     "line 1: option 'Run.' must begin with 'A. '"),
    "one option": ("VideoMMEQuestions", "q.jsonl", 0, {"options": ["A. Run."], "answer": "A"}, "line 1: has 1 options"),
    "options no list": ("VideoMMEQuestions", "q.jsonl", 1, {"options": "A. Run."},
     "line 2: 'options' is the value 'A. Run.'; it must be a list"),
    "no duration asked for": ("VideoMMEQuestions", "q.jsonl", slice(None), {"duration": "long"},
     "no video is medium .*they are \\['long'\\]"),
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    return write_small(tmp_path)


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row(kind, tmp_path):
    form, file, place, change, message = BAD_ROWS[kind]
    files = contents(form)
    if isinstance(place, str):
        files[file][place] = change
    else:
        for row in files[file][place] if isinstance(place, slice) else [files[file][place]]:
            row.update({key: value for key, value in change.items() if value is not REMOVED})
            for key in [key for key, value in change.items() if value is REMOVED]:
                del row[key]
    write(tmp_path, files)
    with pytest.raises(RecordError, match=message) as caught:
        question_file(form).read(tmp_path)
    assert ("\n" not in str(caught.value) and str(tmp_path / "") in str(caught.value)) or file in str(caught.value)


# Form, file, its content, message.
BAD_FILES = {
    "not JSON": ("SeparateAnswers", "q.json", '[{"question": }]', "q.json, line 1, column 15: not valid JSON"),
    "no list": ("FlatQuestions", "q.json", {"a": 1}, "q.json: holds an object; it must be a list of rows"),
    "no objects": ("FlatQuestions", "q.json", ["a"], "q.json, row 0: is the value 'a'; a row must be an object"),
    "nothing": ("FlatQuestions", "q.json", [], "q.json: holds no questions"),
    "empty": ("FlatQuestions", "q.json", "", "line 1, column 1: not valid JSON"),
    "a key twice": ("FlatQuestions", "q.json", '[\n{"answer": "a", "answer": "b"}]',
     "q.json, from line 2: the key 'answer'"),
    "a key twice in an object of answers": ("EgoSchemaQuestions", "a.json", '{"clip_a": 1, "clip_a": 2}',
     "key 'clip_a'"),
    "deep": ("FlatQuestions", "q.json", "[" * 100000, "cannot be rows"),
    "surrogate": ("FlatQuestions", "q.json", '[{"question": "\\ud800"}]', "surrogate"),
    "lines in a file of another name": ("FlatQuestions", "q.json", '{"a": 1}\n{"a": 2}\n',
     r"q.json: holds an object; .* a file with one row per line must be named \.jsonl"),
    "not JSON lines": ("VideoMMEQuestions", "q.jsonl", '{"duration": "medium"}\n{\n',
     "q.jsonl, line 2, column 2: not valid"),
    "no answers": ("EgoSchemaQuestions", "a.json", [1], "a.json: holds a list; it must be an object"),
    "mapping of three words": ("MSVDQuestions", "m.txt", "clip_a 5 vid5\n",
     "m.txt, line 1: is 'clip_a 5 vid5'; it must be"),
    "mapping without number": ("MSVDQuestions", "m.txt", "clip_a vid5\nclip_b six\n", "m.txt, line 2: is 'clip_b six'"),
    "mapping twice": ("MSVDQuestions", "m.txt", "clip_a vid5\nclip_b vid5\n",
     "m.txt, line 2: vid5 is the number of 'clip_a' too"),
    "commas for tabs": ("TGIFFrameQuestions", "q.csv", "gif_name,question\na,b\n",
     "line 1: has no column 'gif_name', .*those found are 'gif_name,question'"),
    "wrong column": ("NExTQuestions", "q.csv", "video,question,answer,qid,kind,a0,a1,a2,a3,a4\n",
     "has no column 'type'"),
    "short line": ("TGIFFrameQuestions", "q.csv", "gif_name\tquestion\tanswer\ttype\tvid_id\nx\ty\n",
     "q.csv, line 2: has 2 columns; the first line has 5"),
    "open quotation": ("NExTQuestions", "q.csv", NEXTQA + '"a,b',
     "q.csv, line 2: not a table"),
    "no table": ("NExTQuestions", "q.csv", "", "q.csv, line 1: has no column 'video', 'question'"),
    "NExT option out of range": ("NExTQuestions", "q.csv", NEXTQA + "v,q,5,1,TN,a,b,c,d,e\n",
     "line 2: option 5 is said to be right"),
    "NExT option empty": ("NExTQuestions", "q.csv", NEXTQA + "v,q,1,1,TN,a,b,c,d,\n",
     "line 2: 'a4' is empty"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file(kind, tmp_path):
    form, file, content, message = BAD_FILES[kind]
    write(tmp_path, contents(form) | {file: content if isinstance(content, str) else json.dumps(content)})
    with pytest.raises(RecordError, match=message) as caught:
        question_file(form).read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_is_not_there_or_no_text(form, tmp_path):
    files = contents(form)
    write(tmp_path, files)
    for name in files:
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content + "é".encode("latin-1"))
        with pytest.raises(RecordError, match=f"{name}: not UTF-8 at byte {len(content)}"):
            question_file(form).read(tmp_path)
        path.unlink()
        with pytest.raises(RecordError, match=rf"{name}: cannot be read: No such file \(see data.init_args.root\)"):
            question_file(form).read(tmp_path)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": TypeCodes({"3": "yes_no"})}, r"row 1: is of type '7'; the types are 3 \(`types` in the YAML\)"),
        ({"videos": "nowhere"}, "media folder does not exist: .*nowhere"),
        ({"video_name": "v_"}, r"`video_name` is 'v_'; it must hold \{video\}"),
        ({"video_name": "../{video}"}, "row 0: video '../clip_a' is not a path below the media folder"),
        (
            {"sha256": {"x.json": "0"}},
            "`sha256` is about 'x.json', which is none of its question files: q.json, a.json",
        ),
        ({"questions": SeparateAnswers("q.json", "none.json")}, "none.json: cannot be read"),
    ],
)
def test_a_bad_description(root, changes, message):
    with pytest.raises(RecordError, match=message):
        benchmark(**changes).load(root)


@pytest.mark.parametrize("types", [TypeCodes({"0": "motion"}), TypeNames()])
def test_a_question_without_a_type_that_is_asked_for(types, tmp_path):
    write(tmp_path, contents("FlatQuestions"))
    write_clips(tmp_path / "clips", ["clip_a", "clip_b"])
    described = benchmark(questions=question_file("FlatQuestions"), types=types)
    with pytest.raises(RecordError, match="row 0: has no type"):
        described.load(tmp_path)


def test_a_link_that_leads_out_is_not_followed(root, tmp_path_factory):
    secret = tmp_path_factory.mktemp("outside") / "secret.mp4"
    secret.touch()
    (root / "clips/clip_b.mp4").unlink()
    (root / "clips/clip_b.mp4").symlink_to(secret)
    with pytest.raises(RecordError, match=r"'clip_b' is a link that leads out"):
        benchmark().load(root)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none(root, share):
    with pytest.raises(ValueError, match=r"max_missing_share is .*; it must be in 0\.\.1"):
        data(root, benchmark(), max_missing_share=share)


def test_no_benchmark(root):
    with pytest.raises(ValueError, match="benchmarks is empty; name one or more, such as --config configs/benchmarks/"):
        data(root).setup("test")


def test_all_videos_missing_leaves_nothing_to_ask(root):
    for clip in (root / "clips").iterdir():
        clip.unlink()
    with pytest.raises(ValueError, match="the test split of VideoQA has no records"):
        data(root, benchmark(types=OneType()), max_missing_share=1.0).setup("test")


def test_answers_that_belong_to_no_question(root):
    answers = json.loads((root / "a.json").read_text())
    (root / "a.json").write_text(json.dumps([*answers, {"answer": "x", "question_id": "further"}]))
    with pytest.raises(RecordError, match=r"q\.json: 1 answers have no question here, by question_id: further"):
        benchmarks.SeparateAnswers("q.json", "a.json").read(root)

"""Question files of every form are read in full; what is missing is counted, what differs is said."""

import json
import random
import shutil

import pytest

from components.registry import members
from datamodules import benchmarks
from datamodules.benchmarks import FirstWord, OneType, QuestionFile, TypeNames
from datamodules.records import Choice, Described, FreeAnswer, RecordError
from tests.datamodules.benchmark_excerpts import EXCERPTS, benchmark, contents, data, question_file, write, write_small

INSTRUCTION = "Answer with the option's letter from the given choices directly."
LETTERED = f"A. runs\nB. sleeps\nC. jumps\nD. sings\nE. none\n{INSTRUCTION}"
MEDIUM = f"What does it do?\nA. Run.\nB. Sleep.\nC. Jump.\nD. Sing.\n{INSTRUCTION}"
# Form -> (id, video, code, question, answer) per question.
EXPECTED = {
    "SeparateAnswers": [
        ("v_clip_a_1", "clip_a", "3", "is there a dog", "yes"),
        ("v_clip_a_2", "clip_a", "7", "how many cats are there", "2"),
        ("v_clip_b_1", "clip_b", "4", "what colour is the ball", "red"),
    ],
    "MSVDQuestions": [
        ("10", "clip_a", None, "what is running?", "dog"),
        ("11", "clip_b", None, "who sings?", "man"),
    ],
    "MSRVTTQuestions": [
        ("0", "video7", "what", "what is there?", "couch"),
        ("31", "video8", "who", "who sings?", "boy"),
    ],
    "TGIFFrameQuestions": [
        ("F1", "clip_a", "0", '"it" is what ?', "cup"),
        ("F2", "clip_b", "2", "what is the color of it ?", "red"),
    ],
    "FlatQuestions": [("0", "clip_a", None, "what is it", "cup"), ("1", "clip_b", None, "what is it", "dog?")],
    "VideoChatGPTQuestions": [
        ("generic/0", "clip_a", "generic", "What happens?", "A dog runs."),
        ("temporal/0", "clip_b", "temporal", "What happens first?", "It sits."),
        ("consistency/0/1", "clip_a", "consistency_1", "Is it a dog?", "A dog."),
        ("consistency/0/2", "clip_a", "consistency_2", "Which animal is it?", "A dog."),
    ],
    "NExTQuestions": [
        ("clip_a_1", "clip_a", "TN", f"what does it do, then\n{LETTERED}", "C"),
        ("clip_b_1", "clip_b", "CW", f"what does it do, then\n{LETTERED}", "A"),
    ],
    "EgoSchemaQuestions": [
        ("clip_a", "clip_a", None, f"What is C doing?\n{LETTERED}", "B"),
        ("clip_b", "clip_b", None, f"What is C doing?\n{LETTERED}", "E"),
    ],
    "VideoMMEQuestions": [
        (identity, video, "Action Reasoning", MEDIUM, "C")
        for identity, video in (("1-1", "clip_a"), ("2-1", "clip_b"))
    ],
}  # fmt: skip


def read(form, root):
    return [
        (question.id, question.video, question.code, question.turn().question, question.turn().answer)
        for question in question_file(form).read(root)
    ]


@pytest.fixture
def root(tmp_path):
    return write_small(tmp_path)


def test_every_form_has_an_excerpt():
    assert set(members(QuestionFile)) == set(EXCERPTS) == set(EXPECTED)


@pytest.mark.parametrize("form", EXPECTED)
def test_a_form_is_read_in_full(form, tmp_path):
    write(tmp_path, contents(form))
    assert read(form, tmp_path) == EXPECTED[form]
    kind = Choice if INSTRUCTION in EXPECTED[form][0][3] else FreeAnswer
    kind = Described if form == "VideoChatGPTQuestions" else kind
    assert {type(question.answer_kind()) for question in question_file(form).read(tmp_path)} == {kind}


def test_a_list_and_json_lines_are_the_same(tmp_path):
    rows = contents("MSRVTTQuestions")["q.json"]
    write(tmp_path, {"q.json": rows, "q.jsonl": rows})
    a, b = (
        [question.record("b", tmp_path, "t") for question in benchmarks.MSRVTTQuestions(name).read(tmp_path)]
        for name in ("q.json", "q.jsonl")
    )
    assert [(x.id, x.turns) for x in a] == [(x.id, x.turns) for x in b]


def test_the_order_of_the_answers_does_not_matter(tmp_path):
    files = contents("SeparateAnswers")
    for seed in range(5):
        random.Random(seed).shuffle(files["a.json"])
        write(tmp_path, files)
        assert read("SeparateAnswers", tmp_path) == EXPECTED["SeparateAnswers"]


def test_ids_and_families_begin_with_the_name_of_the_benchmark(root):
    records = data(root, benchmark()).records("test")
    assert [record.id for record in records] == ["small/v_clip_a_1", "small/v_clip_a_2", "small/v_clip_b_1"]
    assert [record.family for record in records] == ["small/yes_no", "small/number", "small/colour"]
    assert [record.video for record in records] == [(root / f"clips/clip_{x}.mp4").resolve() for x in "aab"]


def test_benchmarks_are_asked_one_after_the_other_and_have_names_of_their_own(root):
    both = data(root, benchmark(), benchmark(name="again"))
    assert [len(both.records(split)) for split in ("val", "test")] == [6, 6]
    assert both.families("test") == sorted(
        f"{name}/{kind}" for name in ("small", "again") for kind in ("yes_no", "number", "colour")
    )
    assert both.question_counts()["again"] == {"again/colour": 1, "again/number": 1, "again/yes_no": 1}
    with pytest.raises(ValueError, match="benchmarks has small twice"):
        data(root, benchmark(), benchmark())


@pytest.mark.parametrize(
    ("types", "families"),
    [
        (OneType(), ["all", "all", "all"]),
        (FirstWord(["how", "is"]), ["is", "how", "other"]),
        (TypeNames(), ["3", "7", "4"]),
    ],
)
def test_types_of_questions(root, types, families):
    records = benchmark(types=types).load(root).records
    assert [record.family.removeprefix("small/") for record in records] == families


@pytest.mark.parametrize("extension", ["mp4", "avi", "mov", "mkv", "webm", "gif"])
def test_a_clip_is_found_with_any_extension_and_prefix(root, extension):
    (root / "clips/clip_b.mp4").unlink()
    (root / "clips/clip_a.mp4").rename(root / f"clips/v_clip_a.{extension}")
    shutil.copy(root / f"clips/v_clip_a.{extension}", root / f"clips/v_clip_b.{extension}")
    loaded = benchmark(video_name="v_{video}").load(root)
    assert [record.video.name for record in loaded.records] == [f"v_clip_{x}.{extension}" for x in "aab"]


def test_a_missing_video_stops_the_run_unless_a_share_of_them_is_allowed(root, caplog):
    (root / "clips/clip_b.mp4").unlink()
    message = "small: 1 of 2 videos are missing in .*clips: clip_b; 1 of 3 questions are about them"
    with pytest.raises(RecordError, match=f"{message}.*max_missing_share, which is 0.0"):
        data(root, benchmark()).setup("test")
    with pytest.raises(RecordError, match=message):
        data(root, benchmark(), max_missing_share=0.49).setup("test")
    allowed = data(root, benchmark(), max_missing_share=0.5)
    allowed.setup("test")
    assert [record.id for record in allowed.records("test")] == ["small/v_clip_a_1", "small/v_clip_a_2"]
    (loaded,) = allowed.loaded()
    assert [record.id for record in loaded.unanswered] == ["small/v_clip_b_1"]
    assert sum(allowed.question_counts()["small"].values()) == 3
    assert loaded.report()["missing_videos"] == ["clip_b"] and loaded.videos == 2
    assert sum("1 of 2 videos are missing" in message for message in caplog.messages) == 1, "said once"


def test_counts_and_checksums_that_differ_are_said_once_and_kept(root, caplog):
    described = benchmark(question_count=4, video_count=3, sha256={"q.json": "0" * 64})
    asked = data(root, described)
    asked.setup("test")
    asked.records("val")
    warnings = asked.loaded()[0].report()["warnings"]
    assert [message for message in caplog.messages if message in warnings] == warnings
    assert warnings[:2] == [
        "small: 3 questions instead of 4; this is not its whole test split",
        "small: 2 videos instead of 3; this is not its whole test split",
    ]
    assert warnings[2].startswith("small: q.json has the checksum ") and len(warnings) == 3


def test_what_agrees_is_not_remarked_on(root):
    assert benchmark(question_count=3, video_count=2).load(root).warnings == []


def test_a_report_can_be_written_as_json(root):
    report = benchmark(paper={"judge": "x", "accuracy": 1.5}).load(root).report()
    assert json.loads(json.dumps(report))["paper"]["accuracy"] == 1.5


def test_there_is_nothing_to_learn_from(root):
    asked = data(root, benchmark())
    for ask in (lambda: asked.setup("fit"), lambda: asked.records("train"), asked.count_training_records):
        with pytest.raises(ValueError, match="none to learn from; for `fit`, name training data"):
            ask()

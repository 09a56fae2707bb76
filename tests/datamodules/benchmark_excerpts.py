"""A few rows in the form of every benchmark's question files, written for these tests, and clips to go with them."""

import csv
import io
import json
import shutil
from pathlib import Path

from datamodules import benchmarks
from datamodules.benchmarks import Benchmark, TypeCodes
from datamodules.video.frame_cache import NoCache
from datamodules.video.media_policy import ErrorOnBadMedia
from datamodules.video.sampling import UniformSampler
from datamodules.video.shown_frames import TrueFrames
from datamodules.video_qa import VideoQA

CLIP = Path("tests/data/videos/hard/one_frame_mpeg4.mp4")  # 950 bytes
OPTIONS = ["runs", "sleeps", "jumps", "sings", "none"]


def table(rows, delimiter):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def separate_answers(questions, answers):
    asked = [
        {"video_name": "clip_a", "question": "is there a dog", "question_id": "v_clip_a_1"},
        {"video_name": "clip_a", "question": "how many cats are there", "question_id": "v_clip_a_2"},
        {"video_name": "clip_b", "question": "what colour is the ball", "question_id": "v_clip_b_1"},
    ]
    right = [
        {"answer": "red", "type": 4, "question_id": "v_clip_b_1"},
        {"answer": "yes", "type": 3, "question_id": "v_clip_a_1"},
        {"answer": "2", "type": 7, "question_id": "v_clip_a_2"},
    ]
    return {questions: asked, answers: right}


def msvd(questions, mapping):
    rows = [
        {"answer": "dog", "id": 10, "question": "what is running?", "video_id": 5},
        {"answer": "man", "id": 11, "question": "who sings?", "video_id": 6},
    ]
    return {questions: rows, mapping: "clip_a vid5\nclip_b vid6\n\n"}


def msrvtt(questions):
    return {
        questions: [
            {"answer": "couch", "question": "what is there?", "video_id": "video7", "answer_type": "what"},
            {"answer": "boy", "question": "who sings?", "video_id": 8, "id": 31, "answer_type": "who"},
        ]
    }


def tgif(questions):
    rows = [
        {"gif_name": "clip_a", "question": '"it" is what ?', "answer": "cup", "type": 0, "vid_id": "F1", "key": 4,
         "description": "a cup"},
        {"gif_name": "clip_b", "question": "what is the color of it ?", "answer": "red", "type": 2, "vid_id": "F2",
         "key": 4, "description": "a red cup"},
    ]  # fmt: skip
    return {questions: "".join("\t".join(map(str, row)) + "\n" for row in [list(rows[0]), *(r.values() for r in rows)])}


def flat(questions):
    return {
        questions: [
            {"question": "what is it", "video_name": "clip_a", "answer": "cup"},
            {"question": "what is it", "video_name": "clip_b", "answer": "dog?"},
        ]
    }


def video_chatgpt(generic, temporal, consistency):
    return {
        generic: [{"Q": "What happens?", "A": "A dog runs.", "video_name": "clip_a"}],
        temporal: [{"Q": "What happens first?", "A": "It sits.", "video_name": "clip_b"}],
        consistency: [{"Q1": "Is it a dog?", "Q2": "Which animal is it?", "A": "A dog.", "video_name": "clip_a"}],
    }


def nextqa(questions):
    options = {f"a{number}": text for number, text in enumerate(OPTIONS)}
    row = {"video": "clip_a", "frame_count": 9, "width": 64, "height": 64, "question": "what does it do, then",
           "answer": 2, "qid": 1, "type": "TN", **options}  # fmt: skip
    return {questions: table([row, row | {"video": "clip_b", "type": "CW", "answer": 0}], ",")}


def egoschema(questions, answers):
    options = {f"option {number}": text for number, text in enumerate(OPTIONS)}
    rows = [{"q_uid": name, "question": "What is C doing?", **options} for name in ("clip_a", "clip_b", "clip_c")]
    return {questions: rows, answers: {"clip_b": 4, "clip_a": 1}}


def videomme(questions, durations=()):
    row = {"question_id": "1-1", "videoID": "clip_a", "duration": "medium", "task_type": "Action Reasoning",
           "question": "What does it do?", "options": ["A. Run.", "B. Sleep.", "C. Jump.", "D. Sing."],
           "answer": "C"}  # fmt: skip
    return {questions: [row, row | {"question_id": "2-1", "videoID": "clip_b"},
                        row | {"question_id": "3-1", "videoID": "clip_c", "duration": "long"}]}  # fmt: skip


EXCERPTS = {
    "SeparateAnswers": separate_answers,
    "MSVDQuestions": msvd,
    "MSRVTTQuestions": msrvtt,
    "TGIFFrameQuestions": tgif,
    "FlatQuestions": flat,
    "VideoChatGPTQuestions": video_chatgpt,
    "NExTQuestions": nextqa,
    "EgoSchemaQuestions": egoschema,
    "VideoMMEQuestions": videomme,
}
FILES = {
    "SeparateAnswers": {"questions": "q.json", "answers": "a.json"},
    "MSVDQuestions": {"questions": "q.json", "mapping": "m.txt"},
    "VideoChatGPTQuestions": {"generic": "g.json", "temporal": "t.json", "consistency": "c.json"},
    "EgoSchemaQuestions": {"questions": "q.json", "answers": "a.json"},
    "VideoMMEQuestions": {"questions": "q.jsonl", "durations": ["medium"]},
    "TGIFFrameQuestions": {"questions": "q.csv"},
    "NExTQuestions": {"questions": "q.csv"},
}
ASKED_VIDEOS = {"MSRVTTQuestions": ("video7", "video8")}


def write(root, contents):
    """Write files below `root`: texts as they are, all else as JSON, or as JSON lines where the name says so."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = lines(content) if name.endswith(".jsonl") else json.dumps(content)
        path.write_text(content if isinstance(content, str) else written, encoding="utf-8")


def write_clips(folder, names, pattern="{video}"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(CLIP, folder / (pattern.replace("{video}", name) + ".mp4"))


def write_benchmark(root, described):
    """Write an excerpt of a benchmark that a YAML file describes, with its clips."""
    questions = described["questions"]
    form = questions["class_path"]
    write(root, EXCERPTS[form](**questions["init_args"]))
    names = ASKED_VIDEOS.get(form, ("clip_a", "clip_b"))
    write_clips(root / described["videos"], names, described.get("video_name", "{video}"))


def question_file(form):
    return getattr(benchmarks, form)(**FILES.get(form, {"questions": "q.json"}))


def contents(form):
    return EXCERPTS[form](**FILES.get(form, {"questions": "q.json"}))


def benchmark(**changes):
    described = {"name": "small", "split": "test", "questions": question_file("SeparateAnswers"), "videos": "clips",
                 "types": TypeCodes({"3": "yes_no", "4": "colour", "7": "number"})}  # fmt: skip
    return Benchmark(**described | changes)


def write_small(root):
    """Write what `benchmark()` describes; returns its folder."""
    write(root, contents("SeparateAnswers"))
    write_clips(root / "clips", ["clip_a", "clip_b"])
    return root


def data(root, *described, **settings):
    return VideoQA(described, str(root), canvas=72, sampler=UniformSampler(8), shown_frames=TrueFrames(),
                   frame_cache=NoCache(), bad_media=ErrorOnBadMedia(), **settings)  # fmt: skip

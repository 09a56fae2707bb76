"""lmms-eval asks a trained model: its answers are those of `ask`.

Most tests drive the plugin with a stand-in for the few names of lmms-eval that it uses. The last runs lmms-eval itself
where it is installed, or where `LMMS_EVAL_PYTHON` names a Python that has it beside this project.
"""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from PIL import Image

from datamodules.video.open import open_video
from tests.guides import REPOSITORY, commands
from tests.video_panda.serving.served import data, message, said, serving
from tests.video_panda.serving.served import video as clip
from video_panda import VideoPanda
from video_panda.conversation import Conversation

TASK = Path("docs/lmms_eval/real_clips.yaml")
DOCUMENTS = [json.loads(line) for line in TASK.with_suffix(".jsonl").read_text().splitlines()]
SETTINGS = yaml.safe_load(TASK.read_text())["generation_kwargs"]
PYTHON = sys.executable if importlib.util.find_spec("lmms_eval") else os.environ.get("LMMS_EVAL_PYTHON")


@dataclass
class Request:
    """What the plugin uses of an `Instance`."""

    args: tuple


@dataclass
class Manifest:
    model_id: str
    simple_class_path: str


class Lmms:
    def __init__(self):
        self.task_dict = {}


@pytest.fixture
def plugin(monkeypatch):
    """The plugin as lmms-eval finds it: by the entry point of pyproject.toml."""
    names = {"api.instance": {"Instance": Request}, "api.model": {"lmms": Lmms}, "models.registry_v2": {}}
    names["models.registry_v2"] = {"ModelManifest": Manifest}
    for name, content in ({"": {}, ".api": {}, ".models": {}} | {f".{name}": c for name, c in names.items()}).items():
        module = ModuleType(f"lmms_eval{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = tomllib.loads(Path("pyproject.toml").read_text())["project"]["entry-points"]["lmms_eval.models"]
    module, _, function = entry["video_panda"].partition(":")
    monkeypatch.delitem(sys.modules, module, raising=False)
    yield getattr(importlib.import_module(module), function)
    del sys.modules[module]


@pytest.fixture
def model(plugin, trained):
    manifest = plugin()
    module, _, name = manifest.simple_class_path.rpartition(".")
    kind = getattr(sys.modules[module], name)
    assert manifest.model_id == "video_panda" and issubclass(kind, Lmms)
    model = kind(pretrained=str(trained[1]), device="cpu", batch_size="8")
    model.task_dict = {"real_clips": {"test": DOCUMENTS}}
    return model


def video(document):
    return [document["video"]]


def request(number, settings=SETTINGS, visual=video, question=None):
    return Request((question or DOCUMENTS[number]["question"], settings, visual, number, "real_clips", "test"))


def asked(panda, number, question=None):
    return panda.ask(DOCUMENTS[number]["video"], question or DOCUMENTS[number]["question"])


@pytest.fixture
def sixteen(trained):
    """The model with the longest answers that the task allows."""
    return VideoPanda.from_pretrained(trained[1], device="cpu", max_new_tokens=SETTINGS["max_new_tokens"])


def test_twenty_questions_have_the_answers_of_ask(model, sixteen):
    assert len(DOCUMENTS) == 20
    answers = model.generate_until([request(number) for number in range(20)])
    assert answers == [asked(sixteen, number) for number in range(20)] and len(set(answers)) > 3


def test_test_ask_server_chat_and_plugin_answer_alike(model, panda, answered):
    """The same twenty questions and more, each way that a trained model is asked."""
    videos, questions, predictions = map(list, zip(*answered, strict=True))
    model.task_dict = {"shapes": {"test": [{"video": video} for video in videos]}}
    limit = {"max_new_tokens": panda.model.generation_config.max_new_tokens}
    requests = [Request((words, limit, video, number, "shapes", "test")) for number, words in enumerate(questions)]
    with serving(panda) as (_, client):
        served = [said(client, message(clip(data(file)), text=words)) for file, words, _ in answered]
    chatted = ["".join(Conversation(panda, Path(file)).ask(words)) for file, words, _ in answered]
    assert len(answered) >= 20
    assert panda.ask(videos, questions) == served == chatted == model.generate_until(requests) == predictions


def test_settings_are_those_of_each_task(model, panda, trained):
    short = VideoPanda.from_pretrained(trained[1], device="cpu", max_new_tokens=2)
    whole = asked(panda, 0)
    end = whole[2:4]
    settings = [{"max_new_tokens": 2}, {}, {"until": ["?", end]}, {"until": end, "temperature": 0, "num_beams": 1}]
    expected = [asked(short, 0), whole, *[whole.partition(end)[0]] * 2]
    assert model.generate_until([request(0, given) for given in settings]) == expected
    assert len(set(expected)) == 3


def test_pictures_are_frames_and_a_document_may_have_no_clip(model, sixteen):
    with open_video(DOCUMENTS[0]["video"]) as reader:
        frames = [Image.fromarray(frame) for frame in reader.frames(range(8))]
    visuals = [lambda _: frames, lambda _: frames[:1], lambda _: [], None]
    question = DOCUMENTS[0]["question"]
    expected = [sixteen.ask(clip, question) for clip in (frames, frames[:1], None, None)]
    assert model.generate_until([request(0, visual=visual) for visual in visuals]) == expected


def test_rounds_follow_from_the_answers_so_far(model, sixteen):
    def next_round(document, previous_output, round_idx, previous_round_info):
        assert (previous_round_info or 0) + 1 == round_idx == len(previous_output)
        if round_idx == 3:
            return None, None, True, previous_output, None
        return video(DOCUMENTS[round_idx]), f"{previous_output[-1]}?", False, previous_output, round_idx

    question, settings, visual, *place = request(0).args
    answers = model.generate_until_multi_round([Request((question, settings, visual, next_round, *place))])
    expected = [asked(sixteen, 0)]
    for number in (1, 2):
        expected.append(asked(sixteen, number, f"{expected[-1]}?"))
    assert answers == [expected]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"do_sample": True}, "answers greedily; --gen_kwargs do_sample=False"),
        ({"temperature": 0.7}, "answers greedily"),
        ({"num_beams": 4}, "answers greedily"),
    ],
)
def test_what_is_not_greedy_is_refused(model, settings, error):
    with pytest.raises(ValueError, match=error):
        model.generate_until([request(0, settings)])


def test_other_bad_input(model, plugin, trained, caplog):
    with pytest.raises(ValueError, match="has as visuals str, str; video_panda takes one path"):
        model.generate_until([request(0, visual=lambda _: ["a.mp4", "b.mp4"])])
    with pytest.raises(ValueError, match=r"nowhere.mp4"):
        model.generate_until([request(0, visual=lambda _: ["nowhere.mp4"])])
    with pytest.raises(ValueError, match="real_clips is scored by likelihoods, which lmms-eval"):
        model.loglikelihood([request(0, " yes")])
    with pytest.raises(ValueError, match="--batch_size is 9; it must be from 1 to 8"):
        type(model)(pretrained=str(trained[1]), batch_size="9")
    model.generate_until([request(0, {"image_aspect_ratio": "original"})])
    assert "without effect on video_panda: image_aspect_ratio" in caplog.text


ROUNDS = """
include: real_clips.yaml
task: real_clips_rounds
output_type: generate_until_multi_round
doc_to_text: !function rounds.next_round
process_results: !function rounds.score
metric_list: [{metric: length, aggregation: mean, higher_is_better: true}]
"""
FUNCTIONS = """
def next_round(document, previous_output=None, round_idx=None, previous_round_info=None, **settings):
    if round_idx is None:
        return document["question"]
    return [document["video"]], "Why?", round_idx == 2, previous_output, None

def score(document, results):
    return {"length": len(results[0])}
"""


@pytest.mark.long
@pytest.mark.skipif(
    not PYTHON, reason="no lmms-eval here, and LMMS_EVAL_PYTHON names no Python with it: docs/lmms_eval.md"
)
def test_lmms_eval_itself(trained, sixteen, tmp_path):
    (command,) = commands("python -m lmms_eval")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for file, text in (("rounds.yaml", ROUNDS), ("rounds.py", FUNCTIONS)):
        (tasks / file).write_text(text)
    (tasks / TASK.name).write_text(TASK.read_text())
    ours = {
        "pretrained=models/full": f"pretrained={trained[1]},device=cpu",
        "real_clips": "real_clips,real_clips_rounds",
        "docs/lmms_eval": str(tasks),
        "runs/lmms_eval": str(tmp_path / "out"),
    }
    words = [ours.get(word, word) for word in shlex.split(command)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run([PYTHON, "-m", "lmms_eval", *words], cwd=REPOSITORY, env=os.environ | offline, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=900)  # fmt: skip
    print(done.stdout[-5000:])
    assert done.returncode == 0

    def samples(task):
        (file,) = (tmp_path / "out").rglob(f"*_samples_{task}.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        return {row["doc_id"]: row["filtered_resps"] for row in rows}

    answers = [asked(sixteen, number) for number in range(20)]
    assert samples("real_clips") == dict(enumerate(answers))
    assert [samples("real_clips_rounds")[number][0] for number in range(20)] == answers

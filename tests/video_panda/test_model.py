"""A trained model from a run or a model folder, asked in Python: the answers of its test, or one clear error."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.records import Turn
from datamodules.video.open import open_video
from lightning_modules.cli import main
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from video_panda import VideoPanda

STEPS = ("--trainer.max_steps=3", "--trainer.limit_val_batches=0", "--model.stage.encoder=0.01")
CLIP = "tests/data/videos/asl_eat_portrait.mp4"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, its model folder, and what it answered in its test: clip, question and answer."""
    runs = tmp_path_factory.mktemp("trained")
    main(
        [
            "fit",
            "--config=experiments/no_lste.yaml",
            f"--data.root={runs}/clips",
            *TINY,
            *SMALL_STEP,
            *STEPS,
            f"--runs={runs}",
        ]
    )
    run = runs / "no_lste" / "seed_0"
    main(["export", str(run), "--out", str(runs / "model")])
    rows = [json.loads(line) for line in (run / "answers" / "test.jsonl").read_text().splitlines()]
    return run, runs / "model", [(row["video"], row["question"], row["prediction"]) for row in rows]


@pytest.fixture(scope="module")
def panda(trained):
    return VideoPanda.from_pretrained(trained[1], device="cpu")


def test_the_answers_of_the_test(trained, panda):
    run, _, answered = trained
    videos, questions, predictions = zip(*answered, strict=True)
    assert len(set(predictions)) > 1
    assert panda.ask(list(videos), list(questions)) == list(predictions)
    assert panda.ask(videos[0], questions[0]) == predictions[0]
    again = VideoPanda.from_pretrained(run / "checkpoints" / "last.ckpt", device="cpu")
    assert again.ask(videos[1], questions[1]) == predictions[1]
    assert VideoPanda.from_pretrained(run, device="cpu").ask(videos[2], questions[2]) == predictions[2]


def test_frames_in_memory_are_as_good_as_a_file(panda, trained):
    video, question, prediction = trained[2][0]
    with open_video(video) as reader:
        frames = reader.frames(range(len(reader)))
    assert panda.ask(frames, question) == prediction
    assert panda.ask(torch.from_numpy(frames), question) == prediction
    assert panda.ask([Image.fromarray(frame) for frame in frames], question) == prediction
    assert panda.ask([frames, video], [question, question]) == [prediction, prediction]


@pytest.mark.parametrize("guide", ["README.md", "docs/weights.md"])
def test_the_lines_of_the_guides(trained, guide, monkeypatch, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", Path(guide).read_text(), re.DOTALL)
    for name in ("clip.mp4", "other.mp4"):
        shutil.copy(CLIP, tmp_path / name)
    (tmp_path / "runs" / "full").mkdir(parents=True)
    (tmp_path / "runs" / "full" / "seed_0").symlink_to(trained[0])
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "full").symlink_to(trained[1])
    monkeypatch.chdir(tmp_path)
    exec(code, {})


def test_a_conversation_is_the_one_of_a_record_with_these_turns(trained, panda):
    video, question, _ = trained[2][0]
    before = [("What is shown?", "a lamp"), ("Where?", "left")]
    samples = panda.reading.samples([video], [question], [Turn(*turn) for turn in before], panda.model)
    text = panda.model.language_model.text
    expected = text.encode([*before, (question, "")], with_clip=True)
    assert torch.equal(samples[0].input_ids, expected.input_ids)
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        encode = type(text).encode_question
        patch.setattr(
            type(text), "encode_question", lambda *args, **how: asked.append(args[1:3]) or encode(*args, **how)
        )
        panda.ask(video, question, before=before)
    assert asked == [(tuple(before), question)]


def test_a_moved_folder_in_bfloat16_and_short(trained, tmp_path):
    moved = shutil.copytree(trained[1], tmp_path / "moved")
    panda = VideoPanda.from_pretrained(moved, device="cpu", dtype=torch.bfloat16, max_new_tokens=1)
    assert next(panda.model.parameters()).dtype == torch.bfloat16
    answer = panda.ask(CLIP, "What is shown?")
    assert len(panda.model.language_model.text.tokenizer(answer, add_special_tokens=False).input_ids) <= 1


def test_what_is_no_model(trained, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is neither a model folder .* nor a run folder"):
        VideoPanda.from_pretrained(tmp_path / "nowhere")
    damaged = shutil.copytree(trained[1], tmp_path / "damaged")
    weights = (damaged / "weights.safetensors").read_bytes()
    (damaged / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match=r"init_from .*weights\.safetensors"):
        VideoPanda.from_pretrained(damaged)
    with pytest.raises(ValueError, match="max_new_tokens is 0"):
        VideoPanda.from_pretrained(trained[1], max_new_tokens=0)


def test_what_is_no_clip_or_too_much(panda, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4: "):
        panda.ask(tmp_path / "text.mp4", "What is shown?")
    with pytest.raises(ValueError, match=r"missing\.mp4"):
        panda.ask([CLIP, tmp_path / "missing.mp4"], ["What is shown?", "And here?"])
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\) and type uint8"):
        panda.ask(np.zeros((2, 4, 4), dtype=np.uint8), "What is shown?")
    with pytest.raises(ValueError, match=r"type float32"):
        panda.ask(np.zeros((2, 4, 4, 3), dtype=np.float32), "What is shown?")
    with pytest.raises(ValueError, match="2 questions need a list of as many clips, not 1"):
        panda.ask(CLIP, ["What is shown?", "And here?"])
    with pytest.raises(ValueError, match="but the language model takes"):
        panda.ask(CLIP, "word " * 5000)

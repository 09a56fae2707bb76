"""A trained model from a run or a model folder, asked in Python: the answers of its test, or one clear error."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.splice import PLACEHOLDER
from datamodules.video.open import open_video
from lightning_modules.export.transformers_files import VERSION
from video_panda import VideoPanda

CLIP = "tests/data/videos/asl_eat_portrait.mp4"


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
    code = "\n".join(re.findall(r"```python\n(.*?)```", Path(guide).read_text(), re.DOTALL))
    for name in ("clip.mp4", "other.mp4"):
        shutil.copy(CLIP, tmp_path / name)
    (tmp_path / "runs" / "full").mkdir(parents=True)
    (tmp_path / "runs" / "full" / "seed_0").symlink_to(trained[0])
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "full").symlink_to(trained[1])
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "import VideoPanda" in code


def test_a_conversation_is_the_one_of_a_record_with_these_turns(trained, panda, monkeypatch):
    video, question, _ = trained[2][0]
    before = [("What is shown?", "a lamp"), ("Where?", "left")]
    _, _, text = panda.processor.parts()
    asked = text.encode_question(before, question)
    ids = panda.processor(question, video, before)["input_ids"][0]
    tokens = len(ids) - len(asked) + 1
    place = asked.tolist().index(PLACEHOLDER)
    expected = [*asked[:place], *[text.pad_id] * tokens, *asked[place + 1 :]]
    assert ids.tolist() == [int(number) for number in expected] and tokens > 50
    given = []
    monkeypatch.setattr(panda.model, "generate", lambda **inputs: given.append(inputs) or inputs["input_ids"])
    panda.ask(video, question, before=before)
    assert torch.equal(given[0]["input_ids"][0], ids)


def test_an_answer_in_pieces(trained, panda, monkeypatch):
    video, question, _ = trained[2][0]
    assert [piece for video, question, _ in trained[2] for piece in ["".join(panda.stream(video, question))]] == [
        answer for *_, answer in trained[2]
    ]
    with monkeypatch.context() as patch:
        # Words with space around them, as a longer answer has.
        text = panda.processor.tokenizer("  a small  lamp ", add_special_tokens=False).input_ids

        def generate(input_ids, streamer, **options):
            streamer.put(input_ids)
            for number in text:
                streamer.put(torch.tensor([number]))
            streamer.end()

        patch.setattr(panda.model, "generate", generate)
        pieces = list(panda.stream(video, question))
        assert "".join(pieces) == "a small  lamp" and len(pieces) == 3
    with pytest.raises(ValueError, match=r"missing\.mp4"):
        panda.stream("missing.mp4", question)  # before the first piece is asked for


def test_an_answer_that_is_left_stops_and_an_error_in_it_is_raised(trained, panda, monkeypatch):
    video, question, _ = trained[2][0]
    monkeypatch.setattr(panda.model.generation_config, "max_new_tokens", 500)
    steps = []
    forward = panda.model.forward
    letter_and_space = panda.processor.tokenizer("o ", add_special_tokens=False).input_ids

    def one_letter_after_the_other(*args, **options):
        output = forward(*args, **options)
        output.logits[..., letter_and_space[len(steps) % 2]] = output.logits.max() + 1
        steps.append(1)
        return output

    monkeypatch.setattr(panda.model, "forward", one_letter_after_the_other)
    pieces = panda.stream(video, question)
    next(pieces)
    pieces.close()
    assert 0 < len(steps) < 500
    monkeypatch.setattr(panda.model, "forward", None)
    with pytest.raises(TypeError):
        list(panda.stream(video, question))


def test_a_moved_folder_in_bfloat16_and_short(trained, tmp_path):
    moved = shutil.copytree(trained[1], tmp_path / "moved")
    panda = VideoPanda.from_pretrained(moved, device="cpu", dtype=torch.bfloat16, max_new_tokens=1)
    assert next(panda.model.parameters()).dtype == torch.bfloat16
    answer = panda.ask(CLIP, "What is shown?")
    assert len(panda.processor.tokenizer(answer, add_special_tokens=False).input_ids) <= 1


def test_what_is_no_model(trained, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is neither a model folder .* nor a run folder"):
        VideoPanda.from_pretrained(tmp_path / "nowhere")
    damaged = shutil.copytree(trained[1], tmp_path / "damaged")
    weights = (damaged / "weights.safetensors").read_bytes()
    (damaged / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match=r"the weights in .*damaged are damaged"):
        VideoPanda.from_pretrained(damaged)
    (damaged / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"damaged cannot be loaded: .*weights\.safetensors"):
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
    with pytest.raises(ValueError, match=r"the question word word .* is too long: .* but the language model takes"):
        panda.ask(CLIP, "word " * 5000)


TRANSFORMERS_FILES = ("config.json", "processor_config.json", "generation_config.json", "model.safetensors.index.json")


def test_a_folder_of_an_earlier_export(trained, tmp_path):
    folder = shutil.copytree(trained[1], tmp_path / "model")
    for name in TRANSFORMERS_FILES:
        (folder / name).unlink()
    video, question, prediction = trained[2][0]
    assert VideoPanda.from_pretrained(folder, device="cpu").ask(video, question) == prediction
    file = folder / "config.yaml"
    config = file.read_text()
    file.write_text(config[: config.index("\ndata:")])
    with pytest.raises(
        ValueError, match=r"config\.yaml does not say how clips are read, .*: import the checkpoint again"
    ):
        VideoPanda.from_pretrained(folder)
    file.write_text(config.replace("components.stab.GSTRA", "components.stab.FutureAggregator"))
    with pytest.raises(
        ValueError, match=r"config\.yaml was written by a version .* this is 0\..*FutureAggregator"
    ) as e:
        VideoPanda.from_pretrained(folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json"])
@pytest.mark.parametrize("version", ["99.0", VERSION])
def test_a_folder_of_another_version(trained, tmp_path, file, version):
    folder = shutil.copytree(trained[1], tmp_path / "model")
    content = (folder / file).read_text().replace('"GSTRA"', '"FutureAggregator"')
    (folder / file).write_text(content.replace(f'"written_by": "{VERSION}"', f'"written_by": "{version}"'))
    said = rf"{file} was written by version 99\.0 .*, and this is {VERSION}, .*; install that version, or export"
    unknown = rf"{file} has settings that version {VERSION}, which wrote it, does not know"
    with pytest.raises(ValueError, match=said if version == "99.0" else unknown) as error:
        VideoPanda.from_pretrained(folder).ask(CLIP, "What is shown?")
    assert "\n" not in str(error.value) and "FutureAggregator" in str(error.value)


def test_a_run_and_a_checkpoint_of_another_version(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "no_lste" / "seed_0")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("components.stab.GSTRA", "components.stab.FutureAggregator"))
    for source in (run, run / "checkpoints" / "last.ckpt"):
        with pytest.raises(
            ValueError, match=r"trained by another version of video-panda, .*: export it with that"
        ) as e:
            VideoPanda.from_pretrained(source)
        assert "FutureAggregator" in str(e.value) and "\n" not in str(e.value)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"last\.ckpt is not a checkpoint"):
        VideoPanda.from_pretrained(run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(ValueError, match=r"config\.json is of a 'llava', not of a 'video_panda'"):
        VideoPanda.from_pretrained(tmp_path / "other")

"""The model of transformers, by the Auto classes: the weights and answers of the test, saved, sharded and streamed."""

import json
import shutil
from inspect import signature
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    TextIteratorStreamer,
    TextStreamer,
)

from lightning_modules.export.transformers_files import READING
from video_panda import VideoPanda, VideoPandaConfig, VideoPandaForConditionalGeneration, VideoPandaProcessor
from video_panda.clips import ClipReading


@pytest.fixture(scope="module")
def model(trained):
    return AutoModelForImageTextToText.from_pretrained(trained[1])


@pytest.fixture(scope="module")
def processor(trained):
    return AutoProcessor.from_pretrained(trained[1])


def answers(model, processor, clips, questions, **options):
    inputs = processor(text=questions, videos=clips, return_tensors="pt").to(model.device)
    return processor.batch_decode(model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :])


def conversation(clip, *texts):
    first = {"role": "user", "content": [{"type": "video", "path": clip}, {"type": "text", "text": texts[0]}]}
    later = [{"role": role, "content": text} for role, text in zip(["assistant", "user"] * 9, texts[1:], strict=False)]
    return [first, *later]


def test_the_auto_classes_give_the_answers_of_the_test(trained, model, processor):
    assert type(AutoConfig.from_pretrained(trained[1])) is VideoPandaConfig
    assert type(model) is VideoPandaForConditionalGeneration and type(processor) is VideoPandaProcessor
    assert not model.training and model.generation_config.do_sample is False
    clips, questions, predictions = map(list, zip(*trained[2], strict=True))
    lengths = {processor(question, clip)["input_ids"].shape[1] for clip, question in zip(clips, questions, strict=True)}
    assert len(lengths) > 1  # so that some are padded
    assert answers(model, processor, clips, questions) == predictions
    assert answers(model, processor, clips[:1], questions[:1], use_cache=False) == predictions[:1]
    inputs = processor.apply_chat_template(
        [conversation(clip, question) for clip, question in zip(clips, questions, strict=True)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    assert torch.equal(inputs["input_ids"], processor(questions, clips)["input_ids"])


def test_the_weights_are_those_of_the_run(trained, model):
    whole = VideoPanda.from_pretrained(trained[0], device="cpu").model.state_dict()
    found = model.state_dict()
    assert found.keys() == whole.keys() and all(torch.equal(tensor, whole[name]) for name, tensor in found.items())


def test_the_files_of_the_folder(trained):
    folder = trained[1]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "video_panda" and config["architectures"] == ["VideoPandaForConditionalGeneration"]
    assert config["encoder"]["class_path"] == "STAB"
    assert json.loads((folder / "processor_config.json").read_text())["reading"]["canvas"] == 36
    assert json.loads((folder / "generation_config.json").read_text())["max_new_tokens"] == 4
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert index == {
        name: file
        for file in ("language_model/model.safetensors", "weights.safetensors")
        for name in load_file(folder / file)
    }
    for name in ("config.json", "processor_config.json", "generation_config.json", "tokenizer_config.json"):
        assert '"/' not in (folder / name).read_text(), f"a path of this machine in {name}"
    assert tuple(signature(ClipReading).parameters) == READING


def test_text_alone_and_the_loss_of_an_answer(trained, model, processor):
    inputs = processor("What is shown?")
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert model.generate(**inputs).shape[1] > inputs["input_ids"].shape[1]
    clip, question, _ = trained[2][0]
    inputs = processor([question, question], [clip, None])  # one of two has a clip
    assert inputs["pixel_values_videos"].dtype == torch.uint8 and inputs["attention_mask"][1].sum() < 40
    output = model(**inputs, labels=inputs["input_ids"])
    assert output.loss > 0 and output.logits.shape[:2] == inputs["input_ids"].shape


def test_streamers_of_transformers(trained, model, processor, capsys):
    clip, question, prediction = trained[2][0]
    inputs = processor(question, clip)
    model.generate(**inputs, streamer=TextStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True))
    assert capsys.readouterr().out.strip() == prediction
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    Thread(target=model.generate, kwargs={**inputs, "streamer": streamer}).start()
    assert "".join(streamer).strip() == prediction


def test_beams_and_samples_repeat_the_embedded_clip(trained, model, processor):
    inputs = processor(*trained[2][0][1::-1])
    length = inputs["input_ids"].shape[1]
    assert len(model.generate(**inputs, num_beams=3, num_return_sequences=2)) == 2
    sampled = model.generate(**inputs, do_sample=True, temperature=9.0, num_return_sequences=8)[:, length:]
    assert len({tuple(row) for row in sampled.tolist()}) > 1


def test_saved_in_parts_and_loaded_again(trained, model, processor, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="500KB")
    processor.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    again = AutoModelForImageTextToText.from_pretrained(tmp_path, device_map="cpu")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    clips, questions, predictions = map(list, zip(*trained[2], strict=True))
    assert answers(again, AutoProcessor.from_pretrained(tmp_path), clips, questions) == predictions
    assert VideoPanda.from_pretrained(tmp_path, device="cpu").ask(clips[0], questions[0]) == predictions[0]
    half = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in half.parameters()} == {torch.bfloat16}
    assert answers(half, processor, clips[:2], questions[:2])


def test_a_missing_tensor_is_named(trained, tmp_path):
    folder = shutil.copytree(trained[1], tmp_path / "model")
    (folder / "language_model" / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("language_model/model.safetensors", "weights.safetensors"))
    with pytest.raises(
        ValueError, match=r"lacks \d+ tensors of a VideoPandaForCond.*, such as language_model\.lm_head"
    ):
        VideoPandaForConditionalGeneration.from_pretrained(folder)


def test_inputs_that_do_not_belong_together_are_refused(trained, model, processor):
    clip, question, _ = trained[2][0]
    inputs = processor(question, clip)
    inputs["mm_token_type_ids"] = inputs["mm_token_type_ids"] * 0
    with pytest.raises(ValueError, match=r"mm_token_type_ids has 0 places for \d+ visual tokens"):
        model.generate(**inputs)
    for options, said in (({"return_tensors": "np"}, "return_tensors is 'np'"), ({"images": []}, "images is")):
        with pytest.raises(ValueError, match=said):
            processor(question, clip, **options)
    for messages, said in (
        ([{"role": "system", "content": "Be brief."}], "must be of user, assistant"),
        (conversation(clip, "a", "b"), "must be of user, assistant"),
        ([{"role": "user", "content": [{"type": "image", "path": clip}]}], "message 1 has a image"),
        ([*conversation(clip, "a", "b"), *conversation(clip, "c")], "message 3 has a video"),
    ):
        with pytest.raises(ValueError, match=said):
            processor.apply_chat_template(messages)
    with pytest.raises(ValueError, match="tokenize is false"):
        processor.apply_chat_template(conversation(clip, "a"), tokenize=False)


def test_the_language_model_alone_is_a_plain_one(trained, model):
    alone = AutoModelForCausalLM.from_pretrained(trained[1] / "language_model")
    ids = torch.arange(20)[None]
    assert torch.equal(alone(ids).logits, model.language_model(ids).logits)

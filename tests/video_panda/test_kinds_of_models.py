"""Models of every kind answer the same as run, as model folder, and saved by transformers where it can load them."""

import json

import pytest
import torch
from transformers import AutoModelForImageTextToText

from lightning_modules.cli import main
from tests.components.official_folder import official_tensors, save_official
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from tests.lightning_modules.training.test_frozen_tower import with_tower
from video_panda import VideoPanda

CLIPS = [f"tests/data/videos/{name}.mp4" for name in ("asl_eat_portrait",)] * 2
QUESTIONS = ["What is shown?", "Where does it happen, and who is there?"]
STEP = ("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false")
MIXED = ("--trainer.precision=bf16-mixed",)
FULL, LORA = "--config=experiments/full.yaml", "--config=configs/adapter/lora.yaml"


def exported(tmp_path, *words, options=()):
    """Train one step and export; returns the run's answers and the model folder."""
    small = [f"--data.root={tmp_path / 'clips'}", *TINY, *SMALL_STEP, *STEP, f"--runs={tmp_path}", "--name=it"]
    main(["fit", *words, *small])
    run = tmp_path / "it" / "seed_0"
    main(["export", str(run), "--out", str(tmp_path / "model"), *options])
    return VideoPanda.from_pretrained(run, device="cpu").ask(CLIPS, QUESTIONS), tmp_path / "model"


def of_family(family, tmp_path, *settings):
    folder = save_tiny_network(family, tmp_path / "base", max_length=2048)
    named = f"--model.language_model.name_or_path={folder}"
    return (FULL, "--config=configs/llm/qwen2_5_7b.yaml", named, *settings)


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "settings", "options"),
    [
        ("qwen2", ("--model.language_model.prompt=ChatTemplate",), ()),
        ("gemma3", MIXED, ()),
        ("llama", ("--model.language_model.dtype=bfloat16", *MIXED, "--model.stage.language_model=0"), ()),
        ("llama", (LORA, "--model.stage.language_model=0.05"), ()),
        ("llama", (LORA, "--model.stage.language_model=0.05"), ("--merge",)),
        ("qwen3", ("--trainer.precision=bf16-true",), ()),
    ],
    ids=["chat-template", "mixed-precision", "frozen-in-bfloat16", "adapter", "merged-adapter", "bfloat16"],
)
def test_pretrained_language_models(tmp_path, family, settings, options):
    expected, folder = exported(tmp_path, *of_family(family, tmp_path, *settings), options=options)
    panda = VideoPanda.from_pretrained(folder, device="cpu")
    assert panda.ask(CLIPS, QUESTIONS) == expected
    run = VideoPanda.from_pretrained(tmp_path / "it" / "seed_0", device="cpu")
    assert panda.autocast == run.autocast
    panda.save_pretrained(tmp_path / "saved")
    again = VideoPanda.from_pretrained(tmp_path / "saved", device="cpu")
    assert again.ask(CLIPS, QUESTIONS) == expected
    assert not (tmp_path / "saved" / "adapter").exists()
    for part in ("encoder", "projector", "language_model"):
        models = (panda.model, run.model, again.model)
        dtypes = [{tensor.dtype for tensor in getattr(model, part).parameters()} for model in models]
        assert dtypes[0] == dtypes[1] == dtypes[2], part


@pytest.mark.long
def test_a_toy_language_model(tmp_path):
    expected, folder = exported(tmp_path, FULL, "--model.language_model=TinyLlama")
    assert VideoPanda.from_pretrained(folder, device="cpu").ask(CLIPS, QUESTIONS) == expected
    assert AutoModelForImageTextToText.from_pretrained(folder).language_model.config.model_type == "llama"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tower", "adapter of a toy"])
def test_what_transformers_cannot_load_is_still_loaded_by_its_yaml(tmp_path, kind):
    toy = (FULL, LORA, "--model.language_model=TinyLlama", "--model.stage.language_model=0.05")
    expected, folder = exported(tmp_path, *(with_tower(tmp_path / "tower") if kind == "tower" else toy))
    assert not (folder / "config.json").exists()
    assert VideoPanda.from_pretrained(folder, device="cpu").ask(CLIPS, QUESTIONS) == expected


@pytest.mark.long
def test_an_official_checkpoint(tmp_path, capsys):
    source = save_official(tmp_path / "official", official_tensors())
    with pytest.raises(ValueError, match=r"is of a 'videopanda', .*; `video-panda import-official` makes"):
        VideoPanda.from_pretrained(source)
    main(["import-official", str(source), "--out", str(tmp_path / "ours")])
    panda = VideoPanda.from_pretrained(tmp_path / "ours", device="cpu")
    assert panda.autocast is torch.bfloat16 and panda.model.generation_config.max_new_tokens == 128
    reading, encoder, text = panda.processor.parts()
    assert (reading.canvas, reading.sampler.frames, encoder.patch_size) == (448, 8, 14)
    assert type(text.prompt).__name__ == "VideoPandaV1"
    tested = (
        "--config=experiments/full.yaml",
        "--config=configs/scale/paper.yaml",
        "--config=configs/data/real_clips_qa.yaml",
    )
    here = (
        "--data.eval_batch_size=1",
        "--data.workers=0",
        "--model.max_new_tokens=4",
        "--name=it",
        f"--runs={tmp_path}",
    )
    small = ("--trainer.accelerator=cpu", "--trainer.limit_test_batches=3", "--trainer.enable_progress_bar=false")
    main(["test", *tested, f"--config={tmp_path / 'ours' / 'config.yaml'}", *here, *small])
    (file,) = tmp_path.glob("it/*/answers/test.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    panda = VideoPanda.from_pretrained(tmp_path / "ours", device="cpu", max_new_tokens=4)
    asked = [row["video"] for row in rows], [row["question"] for row in rows]
    assert len(rows) == 3 and panda.ask(*asked) == [row["prediction"] for row in rows]

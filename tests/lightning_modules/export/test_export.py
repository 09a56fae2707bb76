"""A trained run as a folder that needs nothing else: the same model, wherever it is moved, and all of it or nothing."""

import errno
import json
import re
import shutil

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lightning_modules.cli import main
from lightning_modules.programs.show import history, shown
from lightning_modules.runs.checkout import OWN_FILE, checkout_of
from tests.components.eve_folder import save_eve
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.training.test_frozen_tower import with_tower

FULL = ("--config=experiments/full.yaml",)
STEP = ("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.limit_test_batches=1")
FROZEN = ("--model.stage.language_model=0",)
FULL_DISK = "No space left on device"
OF_TRANSFORMERS = {"config.json", "generation_config.json", "processor_config.json", "model.safetensors.index.json"}
OF_TRANSFORMERS |= {"tokenizer.json", "tokenizer_config.json"}
LORA = ("--config=configs/adapter/lora.yaml",)


@pytest.fixture
def pretrained(tmp_path):
    folder = save_tiny_network("llama", tmp_path / "base" / "llama", max_length=2048)
    return ("--config=configs/llm/qwen2_5_7b.yaml", f"--model.language_model.name_or_path={folder}")


@pytest.fixture
def exported(run, tmp_path):
    """Export a run, and take away all that it was made of; returns the run and the model of the folder, tested."""

    def export_run(trained, *options):
        main(["export", str(trained.folder), "--out", str(tmp_path / "out" / "first"), *options])
        folder = (tmp_path / "out" / "first").rename(tmp_path / "moved")
        shutil.rmtree(trained.folder)
        shutil.rmtree(tmp_path / "base", ignore_errors=True)
        return folder, run("test", f"--config={folder / 'config.yaml'}", "--trainer.limit_test_batches=1")

    return export_run


def answers(cli):
    return [(answer.sample.question, answer.prediction) for answer in cli.model.answers]


def answers_the_same(again, first):
    theirs = first.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in again.model.state_dict().items())
    assert answers(again) == answers(first) != []


@pytest.mark.long
def test_a_run_without_pretrained_parts(run, exported):
    first = run("fit", "--config=experiments/no_lste.yaml", *STEP, "--model.language_model=TinyLlama")
    told, checkout = history(first.folder), checkout_of(OWN_FILE)
    folder, again = exported(first)
    answers_the_same(again, first)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    kept = {f"run/{name}" for name in ("config.yaml", "origin.txt", "history.jsonl", "summary.json")}
    own = {"README.md", "config.yaml", "weights.safetensors", "origin.json"}
    assert files - {"run/uncommitted.diff"} == own | kept | OF_TRANSFORMERS
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["components"] == first.model.component_names()
    assert origin["steps"] == 1 and origin["checkpoint"] == "no_lste/seed_0/checkpoints/last.ckpt"
    assert "  model.encoder.local_encoding: LSTE -> NoLocalEncoding" in origin["run"]
    assert again.folder.parent.name == "first"
    assert history(folder / "run") == told
    text, card = "\n".join(shown(folder)), (folder / "README.md").read_text()
    assert text.startswith(f"exported model  {folder}\n") and "test/exact_match/mean" in text
    assert "LSTE -> NoLocalEncoding" in text and "finished at step 1" in text
    assert f"python -m lightning fit --config {folder / 'run' / 'config.yaml'}" in text
    for fact in (checkout.commit if checkout else "not of a checkout", "NoLocalEncoding"):
        assert fact in card
    assert (
        "| run | no_lste/seed_0 |" in card
        and re.search(r"\| test/exact_match/mean \| [\d.]+ \| \[[\d.]+, [\d.]+\] \| \d+ \|", card)
        and "| training | steps 1, seed 0 |" in card
    )
    assert any(name.startswith("distillation.head.") for name in load_file(folder / "weights.safetensors"))


@pytest.mark.long
@pytest.mark.parametrize("stage", [(), FROZEN], ids=["trained", "frozen"])
def test_a_pretrained_language_model_comes_along(run, exported, pretrained, stage):
    first = run("fit", *FULL, *STEP, *pretrained, *stage)
    folder, again = exported(first)
    answers_the_same(again, first)
    network = AutoModelForCausalLM.from_pretrained(folder / "language_model")
    ids = torch.arange(20)[None]
    assert torch.equal(network(ids).logits, first.model.language_model.network.eval()(ids).logits)


@pytest.mark.long
def test_an_eve_becomes_a_plain_language_model(run, exported, tmp_path):
    folder = save_eve(tmp_path / "base" / "eve")
    eve = ("--config=configs/llm/eve_7b.yaml", f"--model.language_model.name_or_path={folder}")
    first = run("fit", *FULL, *STEP, *eve)
    _, again = exported(first)
    answers_the_same(again, first)
    assert again.model.component_names()["language_model"] == "PretrainedCausalLM"


@pytest.mark.long
@pytest.mark.parametrize("stage", [(), ("--model.stage.encoder=0",)], ids=["trained", "frozen"])
def test_a_tower_comes_along(run, exported, tmp_path, stage):
    first = run("fit", *with_tower(tmp_path / "base"), *STEP[:1], *STEP[2:], *stage)
    folder, again = exported(first)
    answers_the_same(again, first)
    assert not any(name.startswith("encoder.tower.") for name in load_file(folder / "weights.safetensors"))


def logits(cli, ids):
    with torch.no_grad():
        return cli.model.language_model.network.eval()(ids).logits


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--merge",)], ids=["kept", "merged"])
def test_an_adapter_is_kept_or_merged(run, exported, pretrained, options):
    first = run(
        "fit", *FULL, *STEP, *pretrained, *LORA, "--model.stage.language_model=0.05"
    )  # for B to be no longer zero
    ids = torch.arange(40).view(2, 20)
    expected = logits(first, ids)
    folder, again = exported(first, *options)
    torch.testing.assert_close(logits(again, ids), expected, atol=1e-4, rtol=1e-4)
    assert answers(again) == answers(first)
    base = AutoModelForCausalLM.from_pretrained(folder / "language_model").eval()
    if options:
        assert not (folder / "adapter").exists()
        assert again.model.component_names()["language_model.adapter"] == "NoAdapter"
    else:
        answers_the_same(again, first)
        assert not torch.allclose(base(ids).logits, expected, atol=1e-2)  # so it is the adapter that makes them equal
        base = PeftModel.from_pretrained(base, folder / "adapter").eval()
    torch.testing.assert_close(base(ids).logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_an_adapter_of_a_toy_language_model(run, exported):
    first = run("fit", *FULL, *STEP, *LORA)
    _, again = exported(first)
    answers_the_same(again, first)


def test_a_checkpoint_by_its_name(run, tmp_path):
    first = run("fit", *FULL, *STEP)
    best = (first.folder / "checkpoints" / "last.ckpt").rename(first.folder / "checkpoints" / "best.ckpt")
    main(["export", str(best), "--out", str(tmp_path / "out")])
    assert (
        json.loads((tmp_path / "out" / "origin.json").read_text())["checkpoint"] == "full/seed_0/checkpoints/best.ckpt"
    )
    assert "These weights have no test scores." in (tmp_path / "out" / "README.md").read_text()


def test_no_secret_and_no_folder_of_this_machine_goes_along(finished, tmp_path):
    secret, folder = "hf_" + "a1" * 17, finished.folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["trainer"]["logger"] = [
        {"class_path": "A", "init_args": {"api_key": "my key", "url": f"http://u:{secret}@h"}}
    ]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "uncommitted.diff").write_bytes(f"+token = '{secret}'\r\n+\xe9".encode("latin-1"))
    lines = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(lines.replace('"manifest_sha256": ""', '"manifest_sha256": "ab12"'))
    main(["export", str(folder), "--out", str(tmp_path / "out")])
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix != ".safetensors" and path.is_file()]
    texts = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files}
    assert len(texts) == 18 and not [
        name for name, text in texts.items() if secret.encode() in text or b"my key" in text
    ]
    assert texts["run/uncommitted.diff"] == b"+token = '***'\r\n+\xe9"
    kept = yaml.safe_load((tmp_path / "out" / "run" / "config.yaml").read_text())
    assert kept["trainer"]["logger"][0]["init_args"] == {"api_key": "***", "url": "http://***@h"}
    assert kept["model"] == config["model"]
    assert b"| data | ShapesInMotion, manifest sha256 ab12 |" in texts["README.md"]
    for name in ("README.md", "origin.json", *OF_TRANSFORMERS):
        assert str(folder).encode() not in texts[name]


@pytest.mark.long
def test_what_cannot_be_exported_is_refused(run, fails, pretrained, tmp_path):
    first = run("fit", *FULL, *STEP, *pretrained, *FROZEN)
    source, out, new = str(first.folder), tmp_path / "out", str(tmp_path / "new")
    out.mkdir()
    (out / "something").touch()
    checkpoint = first.folder / "checkpoints" / "last.ckpt"
    stray = shutil.copy(checkpoint, tmp_path / "stray.ckpt")
    for arguments, message in (
        ((str(tmp_path / "nowhere"), "--out", new), "nowhere does not exist"),
        ((str(tmp_path), "--out", new), "last.ckpt does not exist"),
        (("README.md", "--out", new), "README.md is not a checkpoint"),
        ((str(stray), "--out", new), "config.yaml does not exist"),
        ((source, "--out", str(out)), f"{out} is not empty"),
        ((source, "--out", str(out / "something")), "something is not empty"),
        ((source, "--out", new, "--merge"), "there is no adapter to merge"),
    ):
        status, error = fails("export", *arguments)
        assert status == 1 and message in error, message
    config = (first.folder / "config.yaml").read_text()
    for old, other, message in (
        ("LearnedFusion", "FixedFusion", "holds another variant of the model than"),
        ("width: 96", "width: 48", "does not have just the tensors that"),
    ):
        assert old in config
        (first.folder / "config.yaml").write_text(config.replace(old, other))
        status, error = fails("export", source, "--out", new)
        assert status == 1 and message in error, message
    (first.folder / "config.yaml").write_text(config)
    save_tiny_network("llama", tmp_path / "base" / "llama", max_length=2048, seed=1)
    status, error = fails("export", source, "--out", new)
    assert status == 1 and "was trained on the frozen weights of" in error
    shutil.rmtree(tmp_path / "base")
    status, error = fails("export", source, "--out", new)
    assert status in (1, 2) and "could not be loaded" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "runs", "stray.ckpt"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("safetensors.torch.save_file", SafetensorError(FULL_DISK)),
        ("lightning_modules.export.model_folder._run_config", OSError(errno.ENOSPC, FULL_DISK, "config.yaml")),
    ],
    ids=["weights", "configuration"],
)
def test_a_full_disk_leaves_nothing(finished, fails, tmp_path, monkeypatch, place, error):
    def full(*arguments):
        assert not (tmp_path / "out").exists()  # not before all is written
        raise error

    monkeypatch.setattr(place, full)
    status, output = fails("export", str(finished.folder), "--out", str(tmp_path / "out"))
    assert status == 1 and "no space left on" in output.lower()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]

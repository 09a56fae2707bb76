"""A language model whose weights stay in their files until it is sharded learns what a loaded one learns."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch.cli import LightningCLI

from benchmarks.host_memory import measure
from components.stored_weights import stay_in_files
from tests.components.tiny_networks import save_tiny_network, tiny_network
from tests.lightning_modules.short_run import losses
from tests.lightning_modules.training.test_fully_sharded import (
    SETTINGS,
    SHARDED,
    assert_close,
    checkpoint,
    fit_two,
    numbers,
)
from tests.lightning_modules.two_ranks import run_two


def save_half(folder):
    """Save a network in a format in which nothing computes here, as most released weights are."""
    save_tiny_network("llama", folder, max_length=2048)
    tiny_network("llama", max_length=2048).half().save_pretrained(folder)
    return ("--config=configs/llm/qwen2_5_7b.yaml", f"--model.language_model.name_or_path={folder}")


@pytest.mark.long
@pytest.mark.parametrize("adapter", ["NoAdapter", "LoRA"])
def test_weights_that_are_read_unit_by_unit_learn_what_loaded_ones_do(run, tiny, tmp_path, adapter):
    settings = (*save_half(tmp_path / "half"), f"--model.language_model.adapter={adapter}",
                *(["--model.language_model.adapter.dropout=0"] if adapter == "LoRA" else []),
                "--model.language_model.gradient_checkpointing=true")  # fmt: skip
    whole = run("fit", *SETTINGS, *settings)
    status, _ = fit_two(tmp_path, tiny, *settings)
    assert status == [0, 0]
    folder = tmp_path / "two" / "sharded" / "seed_0"
    assert [float(loss) for loss in losses(folder)] == numbers(losses(whole.folder))
    found, expected = checkpoint(folder), checkpoint(whole.folder)
    assert found.get("frozen_base") == expected.get("frozen_base")
    assert ("frozen_base" in found) == (adapter == "LoRA")
    for key in ("state_dict", "optimizer_states"):
        assert_close(found[key], expected[key])
    ours, theirs = (json.loads((each / "history.jsonl").read_text().splitlines()[0]) for each in (folder, whole.folder))
    assert ours["base_weights"] == theirs["base_weights"] and "language_model" in ours["base_weights"]


@pytest.mark.long
def test_weights_of_the_stage_before_are_read_unit_by_unit_too(run, tiny, tmp_path):
    settings = save_half(tmp_path / "half")
    before = run("fit", *SETTINGS, *settings, "--trainer.max_steps=1")
    settings = (*SETTINGS, *settings, f"--init_from={before.folder / 'checkpoints' / 'last.ckpt'}")
    whole = run("test", *settings)
    given = {argument.partition("=")[0] for argument in (*settings, *SHARDED)}
    rest = [argument for argument in tiny if argument.partition("=")[0] not in given]
    status, _ = run_two("test", *settings, *SHARDED, *rest, f"--runs={tmp_path / 'two'}")
    assert status == [0, 0]
    found, expected = (likelihoods(folder) for folder in (tmp_path / "two", whole.folder))
    assert found == pytest.approx(expected, rel=1e-4) and len(found) == 9


def likelihoods(folder):
    """Return the likelihood of every right answer in a folder with a test."""
    answers = [json.loads(line) for file in folder.rglob("test*.jsonl") for line in file.read_text().splitlines()]
    return {answer["id"]: answer["log_likelihood"] for answer in answers}


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_no_process_holds_the_whole_language_model(tmp_path):
    for process in measure(tmp_path, width=768, layers=8, in_files=True):
        taken = process["times the model"]
        assert taken["built"] < 0.1 and taken["sharded"] < 0.9, taken  # half of it is this process's shard


def test_weights_stay_in_files_under_this_strategy_alone(run, monkeypatch):
    stay = []

    def build(self):
        stay.append(stay_in_files())
        raise KeyboardInterrupt

    monkeypatch.setattr(LightningCLI, "instantiate_classes", build)
    for strategy in (SHARDED[:1], ["--trainer.strategy=auto"]):
        with pytest.raises(KeyboardInterrupt):
            run("fit", *SETTINGS, *strategy)
    assert stay == [True, False] and not stay_in_files()


@pytest.mark.long
def test_wrong_weights_end_all_processes_in_one_line(tiny, tmp_path):
    settings = save_half(tmp_path / "half")
    network = tiny_network("llama", max_length=2048).half()
    network.model.norm.weight.data.fill_(torch.nan)
    network.save_pretrained(tmp_path / "half")
    status, said = fit_two(tmp_path, tiny, *settings)
    assert status == [1, 1]
    assert all("model.norm.weight of" in line.splitlines()[-1] for line in said)

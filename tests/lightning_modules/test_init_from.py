"""Weights of one run as the start of another."""

import pytest
import torch

from tests.lightning_modules.short_run import NO_LSTE, SHORT

FULL = ("--config", "experiments/full.yaml")


@pytest.fixture
def weights(finished):
    return finished.folder / "checkpoints" / "last.ckpt"


def test_a_run_starts_from_the_weights_of_another_with_fresh_counters(run, weights, capsys):
    cli = run("fit", *NO_LSTE, "--trainer.max_steps=1", "--model.stage.encoder=0", f"--init_from={weights}")
    saved = torch.load(weights, weights_only=True)["state_dict"]
    frozen = [name for name in saved if name.startswith("encoder.") and "norm" not in name]
    ours = cli.model.state_dict()
    assert frozen and all(torch.equal(ours[name], saved[name]) for name in frozen)
    assert cli.trainer.global_step == 1
    said = capsys.readouterr().out
    assert f"init_from {weights}" in said and f"loaded: {len(saved)} tensors: distillation.head" in said
    assert "fresh: 0 tensors" in said
    assert f"init_from {weights}" in (cli.folder / "origin.txt").read_text()


def test_weights_of_another_variant_are_refused_unless_told_to(fails, run, weights, tiny, capsys):
    status, error = fails("validate", *FULL, *tiny, f"--init_from={weights}")
    assert status == 1 and "another variant" in error and "init_partially: true" in error
    assert "encoder.local_encoding: NoLocalEncoding -> LSTE" in error
    cli = run("validate", *FULL, f"--init_from={weights}", "--init_partially=true")
    said = capsys.readouterr().out
    fresh = [name for name in cli.model.state_dict() if name.startswith("encoder.local_encoding.")]
    assert f"fresh: {len(fresh)} tensors: encoder.local_encoding ({len(fresh)})" in said
    assert "ignored: 0 tensors" in said


def test_tensors_of_another_shape_are_named(fails, run, weights, tiny, capsys):
    status, error = fails("validate", *NO_LSTE, *tiny, f"--init_from={weights}", "--model.encoder.width=32")
    assert status == 1 and "[96] there, [32] here" in error and "more" in error
    run("validate", *NO_LSTE, f"--init_from={weights}", "--init_partially=true", "--model.encoder.width=32")
    said = capsys.readouterr().out
    assert "loaded: " in said and "ignored: " in said and "language_model.network" in said


@pytest.mark.parametrize(
    ("file", "said"),
    [("no_such.ckpt", "does not exist"), ("last", "does not exist"), ("README.md", "is not a checkpoint")],
)
def test_a_file_that_is_none_is_refused(fails, tiny, file, said):
    status, error = fails("fit", *FULL, *tiny, f"--init_from={file}")
    assert status == 1 and f"init_from {file} {said}" in error


def test_a_run_that_goes_on_keeps_its_own_weights(run, finished, weights, capsys):
    cli = run("fit", *NO_LSTE, *SHORT, f"--init_from={weights}", f"--ckpt_path={weights}")
    assert cli.trainer.global_step == finished.trainer.global_step
    assert "not read: ckpt_path" in capsys.readouterr().out

"""Under bf16-mixed, weights that are not trained are held in bfloat16: every figure is the same, exact weights stay."""

import json

import pytest
import torch
from lightning import Callback
from torch import nn

from lightning_modules.training.bf16_weights import BFloat16Weights
from tests.components.tiny_networks import save_tiny_network
from tests.lightning_modules.short_run import SHORT, losses

FULL = ("--config=experiments/full.yaml", "--trainer.precision=bf16-mixed", "--model.encoder.dropout=0",
        "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1")  # fmt: skip


@pytest.fixture
def without(monkeypatch):
    """Run a function with float32 weights."""

    def call(function):
        with monkeypatch.context() as patch:
            for hook in ("on_fit_start", "on_validation_start", "on_test_start", "on_predict_start"):
                patch.setattr(BFloat16Weights, hook, getattr(Callback, hook))
            return function()

    return call


@pytest.fixture
def dtypes(monkeypatch):
    """Return the dtypes of the language model's and the teacher's linear layers, noted during every evaluation."""
    noted = []
    from lightning_modules.video_language import VideoLanguageModel

    evaluate = VideoLanguageModel._evaluate

    def noting(self, batch):
        noted.append([linear_dtypes(part) for part in (self.language_model, self.teacher)])
        return evaluate(self, batch)

    monkeypatch.setattr(VideoLanguageModel, "_evaluate", noting)
    return noted


def linear_dtypes(part):
    return {module.weight.dtype for module in part.modules() if isinstance(module, nn.Linear)}


def answers(cli):
    return [json.loads(line) for line in (cli.folder / "answers" / "test.jsonl").open()]


def same_weights(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


@pytest.mark.long
@pytest.mark.parametrize("adapter", [(), ("--model.language_model.adapter=LoRA",)], ids=["whole", "LoRA"])
def test_a_frozen_language_model_is_rounded_once_and_its_hash_is_that_of_its_source(
    run, without, dtypes, tmp_path, adapter
):
    folder = save_tiny_network("llama", tmp_path / "pretrained", max_length=2048)
    settings = (*FULL, *SHORT, "--config=configs/llm/qwen2_5_7b.yaml", *adapter,
                f"--model.language_model.name_or_path={folder}")  # fmt: skip
    settings += () if adapter else ("--model.stage.language_model=0",)
    exact = without(lambda: run("fit", *settings))
    noted = len(dtypes)
    cli = run("fit", *settings)
    assert losses(cli.folder) == losses(exact.folder) and answers(cli) == answers(exact)
    assert all(torch.float32 not in teacher and (adapter or language_model == {torch.bfloat16})
               for language_model, teacher in dtypes[noted:])  # fmt: skip
    trained = [parameter for parameter in cli.model.parameters() if parameter.requires_grad]
    assert trained and {parameter.dtype for parameter in trained} == {torch.float32}
    first, second = (torch.load(of.folder / "checkpoints" / "last.ckpt", weights_only=True) for of in (exact, cli))
    assert first["frozen_base"] == second["frozen_base"] and first["frozen_base"]
    assert same_weights(first["state_dict"], second["state_dict"])
    again = run("test", *settings, f"--ckpt_path={cli.folder / 'checkpoints' / 'last.ckpt'}")
    assert answers(again) == answers(cli)


def test_a_trained_language_model_is_rounded_for_a_test_and_whole_again_after_it(run, without, dtypes, monkeypatch):
    cli = run("fit", *FULL, *SHORT)
    in_training, in_test = dtypes[0], dtypes[-1]
    assert in_training[0] == {torch.float32} and torch.bfloat16 in in_test[0]
    assert in_training[1] == {torch.bfloat16}, "the teacher, which no checkpoint holds"
    checkpoint = cli.folder / "checkpoints" / "last.ckpt"
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert same_weights(dict(cli.model.state_dict()), saved)
    exact = without(lambda: run("test", *FULL, f"--ckpt_path={checkpoint}"))
    assert answers(exact) == answers(cli)
    assert not any(parameter.is_inference() for parameter in cli.model.parameters())
    same = run("test", *FULL, f"--ckpt_path={checkpoint}", "--trainer.precision=32-true")
    assert linear_dtypes(same.model.language_model) == {torch.float32} == dtypes[-1][0]

"""Training in other number formats than float32, as far as a CPU has them."""

import pytest
import torch

from tests.lightning_modules.short_run import SHORT, losses


@pytest.mark.long
@pytest.mark.parametrize(("precision", "weights"), [("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16)])
def test_the_full_model_trains_answers_and_is_saved(run, precision, weights):
    """With distillation, batch normalisation by the batch as official, validation and test by generated answers."""
    settings = ("--config=experiments/full.yaml", "--model.encoder.dropout=0", "--trainer.precision")
    exact = run("fit", *settings, "32-true", *SHORT)
    cli = run("fit", *settings, precision, *SHORT)
    expected, computed = ([float(loss) for loss in losses(of.folder)] for of in (exact, cli))
    assert computed != expected and computed == pytest.approx(expected, rel=0.03)
    assert cli.model.distillation.hidden_layers and "test/exact_match/mean" in cli.summary.figures
    saved = torch.load(cli.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {tensor.dtype for tensor in saved.values() if tensor.is_floating_point()} == {weights}
    resumed = run("validate", *settings, precision, f"--ckpt_path={cli.folder / 'checkpoints' / 'last.ckpt'}")
    assert resumed.trainer.callback_metrics["val/loss"] == cli.summary.figures["val/loss"]

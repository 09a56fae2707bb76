"""Two processes learn what one does: the same losses, the same weights, for the same batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import Callback

from tests.lightning_modules.short_run import losses
from tests.lightning_modules.two_ranks import run_two

# Batch normalisation by clip, or the batch of one process would matter.
SETTINGS = (
    "--config=experiments/clip_statistics.yaml",
    "--model.encoder.dropout=0",
    "--data.train_clips=14",  # of which the last step has fewer
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=0",
    "--test_after_fit=false",
)


def train(folder, tiny, *arguments):
    given = {argument.partition("=")[0] for argument in (*SETTINGS, *arguments)}
    rest = [argument for argument in tiny if argument.partition("=")[0] not in given]
    command = [sys.executable, "-m", "lightning", "fit", *SETTINGS, *arguments, *rest, f"--runs={folder}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    run = folder / "clip_statistics" / "seed_0"
    return losses(run), torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.long
@pytest.mark.parametrize("global_batch", [4, 8])
def test_losses_and_weights_are_those_of_one_process(tmp_path, tiny, global_batch):
    stage = f"--model.stage.global_batch={global_batch}"
    alone, weights = train(tmp_path / "one", tiny, "--data.batch_size=4", stage)
    together, same = train(
        tmp_path / "two", tiny, "--data.batch_size=2", stage, "--trainer.devices=2", "--trainer.strategy=ddp"
    )
    assert [float(loss) for loss in together] == pytest.approx([float(loss) for loss in alone], rel=1e-4)
    assert len(alone) >= 4
    for name, tensor in weights.items():
        if "local_encoding.norm." in name and not name.endswith(
            ("weight", "bias")
        ):  # statistics are its own (official)
            continue
        torch.testing.assert_close(same[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


class Notes(Callback):
    """Writes what each process was asked in a validation, and what came of it."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_validation_end(self, trainer, pl_module):
        asked = [answer.sample.id for answer in pl_module.answers]
        figures = {name: float(figure) for name, figure in trainer.callback_metrics.items()}
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps([asked, figures]))


@pytest.mark.long
def test_a_validation_is_shared_out_and_its_figures_are_those_of_one_process(tmp_path, tiny):
    rest = [argument for argument in tiny if "eval_batch_size" not in argument]
    validate = ["validate", "--config=experiments/full.yaml", "--data.eval_batch_size=3", *rest]
    validate.append(f"--runs={tmp_path / 'runs'}")

    def notes(name):
        (folder := tmp_path / name).mkdir()
        callback = {
            "class_path": "tests.lightning_modules.training.test_two_processes.Notes",
            "init_args": {"folder": str(folder)},
        }
        (folder / "notes.yaml").write_text(f"trainer: {{callbacks: [{callback}]}}")
        return folder, f"--config={folder / 'notes.yaml'}"

    folder, config = notes("one")
    subprocess.run([sys.executable, "-m", "lightning", *validate, config], check=True, capture_output=True)
    [questions, expected] = json.loads((folder / "0.json").read_text())
    folder, config = notes("two")
    status, _ = run_two(*validate, config, "--trainer.strategy=ddp")
    assert status == [0, 0]
    (first, figures), (second, same) = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert len(first) == 6 and len(second) == 3 and sorted(first + second) == sorted(questions)
    assert figures == same == pytest.approx(expected, rel=1e-5)

"""Every process drops features of its own, and the same ones again after resuming; all see the same order of data."""

from pathlib import Path

import pytest
import torch
from lightning import Callback

from tests.lightning_modules.two_ranks import run_two

SETTINGS = (
    "--config=experiments/full.yaml",
    "--data.batch_size=1",
    "--model.encoder.dropout=0.2",
    "--trainer.max_epochs=2",
    "--trainer.limit_val_batches=0",
    "--test_after_fit=false",
)


class NoteRandomNumbers(Callback):
    """Writes the next random number of each process, and the samples it sees, at every step."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        following = torch.Generator()
        following.set_state(torch.get_rng_state())
        number = torch.rand((), generator=following).item()
        seen = [str(sample) for sample in batch.samples]
        torch.save((number, seen), self.folder / f"{trainer.global_step}_{trainer.global_rank}.pt")


def fit_two(folder, tiny, *arguments, **how):
    folder.mkdir(exist_ok=True)
    kind = "tests.lightning_modules.training.test_random_states.NoteRandomNumbers"
    note = {"class_path": kind, "init_args": {"folder": str(folder)}}
    (folder / "note.yaml").write_text(f"trainer: {{callbacks+: {note}}}")
    rest = [argument for argument in tiny if "batch_size" not in argument]
    note = f"--config={folder / 'note.yaml'}"
    return run_two("fit", *SETTINGS, *arguments, note, *rest, f"--runs={folder / 'runs'}", **how)[0]


def notes(folder):
    return {file.name: torch.load(file, weights_only=True) for file in folder.glob("*_?.pt")}


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["--trainer.strategy=ddp", "--config=configs/trainer/fsdp.yaml"])
def test_every_process_draws_its_own_numbers_also_after_resuming(tmp_path, tiny, strategy):
    assert fit_two(tmp_path / "whole", tiny, strategy) == [0, 0]
    assert fit_two(tmp_path / "parts", tiny, strategy, "--trainer.max_epochs=1") == [0, 0]
    (last,) = (tmp_path / "parts").glob("runs/*/*/checkpoints/last.ckpt")
    assert fit_two(tmp_path / "parts", tiny, strategy, f"--ckpt_path={last}") == [0, 0]

    whole = notes(tmp_path / "whole")
    assert len({number for number, _ in whole.values()}) == len(whole) == 8
    assert notes(tmp_path / "parts") == whole

"""After `kill -9`, a run goes on with each remaining sample once, however it loads and on however many devices."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from lightning import Callback

from tests.lightning_modules.two_ranks import run_two

SAMPLES, AT_ONCE, STEPS = 14, 4, 4  # of an epoch; its last step has two samples
EVERY = 2  # steps from checkpoint to checkpoint


class Seen(Callback):
    """Notes which samples a step has had, and kills its process after one."""

    def __init__(self, folder: str, kill_after: int) -> None:
        self.folder, self.kill_after = folder, kill_after

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        ids = [sample.id for sample in batch.samples]
        with Path(self.folder, f"rank_{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps([trainer.current_epoch, trainer.global_step, ids]) + "\n")
        if trainer.global_step == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def fit(tmp_path, clips):
    """Train for two epochs, in one process or two; returns the exit statuses and the samples of each step."""

    def run(name, ranks, workers, kill_after, *flags):
        seen = tmp_path / name
        seen.mkdir()
        arguments = {"folder": str(seen), "kill_after": kill_after}
        callbacks = [
            {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": EVERY}},
            {
                "class_path": "tests.lightning_modules.training.test_killed.Seen",
                "init_args": arguments,
            },
        ]
        settings = tmp_path / f"{name}.yaml"
        settings.write_text(json.dumps({"trainer": {"callbacks": callbacks}}))
        words = ["fit", "--config=experiments/no_lste.yaml", f"--config={settings}", "--name=killed",
                 f"--data.root={clips}", f"--data.train_clips={SAMPLES}", "--data.turns_per_record=9",
                 "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
                 f"--data.workers={workers}", f"--data.batch_size={AT_ONCE // ranks}",
                 "--data.batching=SimilarBatches", "--data.batching.pool_batches=2",
                 "--trainer.max_epochs=2", "--trainer.limit_val_batches=0", "--test_after_fit=false",
                 "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
                 f"--runs={tmp_path / 'runs'}", *flags]  # fmt: skip
        if ranks == 2:
            status, _ = run_two(*words, "--trainer.strategy=ddp")
        else:
            done = subprocess.run(
                [sys.executable, "-m", "lightning", *words], capture_output=True, text=True, timeout=120
            )
            print(done.stderr, file=sys.stderr)
            status = [done.returncode]
        rows = [json.loads(line) for file in seen.glob("*.jsonl") for line in file.read_text().splitlines()]
        return status, [(epoch, step, identity) for epoch, step, ids in rows for identity in ids]

    return run


@pytest.mark.long
@pytest.mark.parametrize(("ranks", "workers", "killed"), [(1, 0, 3), (1, 2, 7), (2, 0, 7), (2, 2, 3)])
def test_each_remaining_sample_comes_once(fit, tmp_path, ranks, workers, killed):
    status, before = fit("first", ranks, workers, killed)
    assert status == [-signal.SIGKILL] * ranks
    checkpoint = tmp_path / "runs" / "killed" / "seed_0" / "checkpoints" / "last.ckpt"
    status, after = fit("second", ranks, workers, -1, f"--ckpt_path={checkpoint}")
    assert status == [0] * ranks
    kept = killed - killed % EVERY  # what was learnt after the checkpoint is lost
    assert min(step for _, step, _ in after) == kept + 1
    epochs = [Counter(), Counter()]
    for epoch, step, identity in [row for row in before if row[1] <= kept] + after:
        assert epoch == (step - 1) // STEPS
        epochs[epoch][identity] += 1
    for epoch in epochs:
        assert len(epoch) == SAMPLES and set(epoch.values()) == {1}
    lost = [(step, identity) for _, step, identity in before if step > kept]
    assert lost and set(lost) <= {(step, identity) for _, step, identity in after}  # and comes again, in its step

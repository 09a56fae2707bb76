"""Two processes that train together, started one by one as a scheduler does, so that a test can speak to either."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from lightning import Callback

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalisation


class SignalItself(Callback):
    """Sends a signal to one process, and to the loader processes it has started, after a step."""

    def __init__(self, rank: int, step: int, number: int) -> None:
        self.rank, self.step, self.number = rank, step, number

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step):
            os.killpg(0, self.number)


def signal_itself(folder, **arguments):
    """Write a configuration in which a process signals itself."""
    path = folder / "signal_itself.yaml"
    callback = {"class_path": "tests.lightning_modules.two_ranks.SignalItself", "init_args": arguments}
    path.write_text(f"trainer: {{callbacks: [{callback}]}}")
    return f"--config={path}"


class NoteStatistics(Callback):
    """Writes the running statistics of each process: its own of the last step, and those it validates or tests with."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def _write(self, trainer, pl_module, what):
        buffers = {name: buffer for name, buffer in pl_module.named_buffers() if name.endswith(STATISTICS)}
        torch.save(buffers, self.folder / f"{what}_{trainer.global_rank}.pt")

    def on_before_backward(self, trainer, pl_module, loss):
        self._write(trainer, pl_module, "own")

    def on_validation_end(self, trainer, pl_module):
        self._write(trainer, pl_module, "used")

    def on_test_end(self, trainer, pl_module):
        self._write(trainer, pl_module, "used")


def note_statistics(folder):
    """Write a configuration in which each process notes its running statistics in `folder`."""
    path = folder / "note.yaml"
    callback = {"class_path": "tests.lightning_modules.two_ranks.NoteStatistics", "init_args": {"folder": str(folder)}}
    path.write_text(f"trainer: {{callbacks+: {callback}}}")
    return f"--config={path}"


def assert_joined_statistics(folder, weights):
    """Hold what two processes noted to each other, to the mean of both, and to a checkpoint."""
    own, used = (
        [torch.load(folder / f"{what}_{rank}.pt", weights_only=True) for rank in (0, 1)] for what in ("own", "used")
    )
    assert any(not torch.equal(own[0][name], own[1][name]) for name in own[0])
    for name, statistic in used[0].items():
        assert torch.equal(statistic, used[1][name]) and torch.equal(statistic, weights[name]), name
        torch.testing.assert_close(statistic.float(), (own[0][name] + own[1][name]) / 2, rtol=1e-4, atol=1e-6, msg=name)


def run_two(*arguments, machines=1, timeout=120, before=None):
    """Run the command line in two processes; returns their exit statuses and what they wrote to stderr."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lightning", *arguments]
    command += [f"--trainer.devices={2 // machines}", f"--trainer.num_nodes={machines}"]
    processes = []
    for rank in (0, 1):
        place = {"NODE_RANK": rank, "LOCAL_RANK": 0} if machines == 2 else {"NODE_RANK": 0, "LOCAL_RANK": rank}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        environment = os.environ | {key: str(value) for key, value in place.items()}
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             start_new_session=True, preexec_fn=before)
        )  # fmt: skip
    try:
        errors = [process.communicate(timeout=timeout)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    print(*errors, sep="\n\n", file=sys.stderr)  # whole, for whoever reads why a test failed
    return [process.returncode for process in processes], errors

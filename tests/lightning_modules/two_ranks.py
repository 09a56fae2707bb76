"""Two processes that train together, started one by one as a scheduler does, so that a test can speak to either."""

import os
import socket
import subprocess
import sys

from lightning import Callback


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
        said = [process.communicate(timeout=timeout)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    print(*said, sep="\n\n", file=sys.stderr)  # whole, for whoever reads why a test failed
    return [process.returncode for process in processes], said

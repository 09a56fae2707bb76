"""The SLURM script asks for the machines that it trains on, and goes on where it was stopped."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lightning_modules.training.stage import Stage

SCRIPT = Path("docs/slurm.sh").resolve()


@pytest.fixture
def submit(tmp_path):
    """Run the script with stand-ins for SLURM's commands; returns its status and what it called."""
    calls = tmp_path / "calls"

    def command(name, body):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/bash\nprintf "%s\\n" {name} "$@" >> {calls}\n{body}\n')
        file.chmod(0o755)

    def run_script(*arguments, srun="exit 0"):
        calls.write_text("")
        command("srun", srun)
        command("scontrol", "exit 0")
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "7",
                                    "DATA": "configs/data/real_clips.yaml"}  # fmt: skip
        result = subprocess.run(["bash", SCRIPT, *arguments], cwd=tmp_path, env=environment, check=False)
        return result.returncode, calls.read_text().splitlines()

    return run_script


def test_what_is_asked_for_is_what_is_trained_on(resolved, submit):
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", SCRIPT.read_text(), re.MULTILINE))
    status, called = submit("no_lste", "--seed_everything=0")
    assert status == 0 and called[0] == "srun"
    config = resolved("fit", *called[called.index("fit") + 1 :], tiny=False)
    trainer, data = config["trainer"], config["data"]["init_args"]
    assert trainer["num_nodes"] == int(asked["nodes"]) == 16
    assert int(trainer["devices"]) == int(asked["ntasks-per-node"]) == int(asked["gpus-per-node"]) == 4
    assert trainer["strategy"]["class_path"] == "lightning_modules.training.fully_sharded.FullySharded"
    assert data["workers"] < int(asked["cpus-per-task"])
    stage = Stage(**config["model"]["stage"])
    assert stage.global_batch == 2048 and stage.accumulation(data["batch_size"], 16 * 4) == 4
    assert config["model"]["encoder"]["init_args"]["local_encoding"]["class_path"].endswith("NoLocalEncoding")


def test_a_job_that_is_stopped_is_queued_again_and_goes_on(submit, tmp_path):
    folder = tmp_path / "runs" / "full-paper" / "seed_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").touch()
    os.utime(folder / "last.ckpt", (1, 1))
    status, called = submit(srun=f"sleep 0.02; touch {folder}/interrupted.ckpt; exit 1")
    assert status == 0 and called[-3:] == ["scontrol", "requeue", "7"]
    assert "--ckpt_path=runs/full-paper/seed_0/checkpoints/last.ckpt" in called
    status, called = submit()
    assert status == 0 and "--ckpt_path=runs/full-paper/seed_0/checkpoints/interrupted.ckpt" in called
    assert "scontrol" not in called


def test_a_job_that_fails_is_not_queued_again(submit):
    status, called = submit(srun="exit 1")
    assert status == 1 and "scontrol" not in called
    assert not [word for word in called if "ckpt_path" in word]


def test_a_job_that_has_finished_is_left_alone(submit, tmp_path):
    folder = tmp_path / "runs" / "full-paper" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "summary.json").touch()
    assert submit() == (0, [])

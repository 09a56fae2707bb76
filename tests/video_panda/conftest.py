"""A small run, its model folder, and what it answered in its test."""

import json

import pytest

from lightning_modules.cli import main
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from video_panda import VideoPanda

STEPS = ("--trainer.max_steps=3", "--trainer.limit_val_batches=0", "--model.stage.encoder=0.01")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run, its model folder, and what it answered in its test: clip, question and answer."""
    runs = tmp_path_factory.mktemp("trained")
    small = [f"--data.root={runs}/clips", *TINY, *SMALL_STEP, *STEPS, f"--runs={runs}"]
    main(["fit", "--config=experiments/no_lste.yaml", *small])
    run = runs / "no_lste" / "seed_0"
    main(["export", str(run), "--out", str(runs / "model")])
    rows = [json.loads(line) for line in (run / "answers" / "test.jsonl").read_text().splitlines()]
    return run, runs / "model", [(row["video"], row["question"], row["prediction"]) for row in rows]


@pytest.fixture(scope="session")
def panda(trained):
    return VideoPanda.from_pretrained(trained[1], device="cpu")


@pytest.fixture(scope="session")
def answered(trained):
    """Clip, question and answer of twenty and more questions of a test."""
    run = trained[0]
    small = [f"--data.root={run.parents[1]}/clips", *TINY, *SMALL_STEP, "--data.test_questions_per_family=3"]
    place = [f"--runs={run.parents[1]}", "--name=twenty", f"--ckpt_path={run}/checkpoints/last.ckpt"]
    main(["test", "--config=experiments/no_lste.yaml", *small, *place])
    (file,) = run.parents[1].glob("twenty/*/answers/test.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) >= 20 and len({row["prediction"] for row in rows}) > 1
    return [(row["video"], row["question"], row["prediction"]) for row in rows]

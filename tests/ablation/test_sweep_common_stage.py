"""Real trainings: two chains that begin alike, killed in the stage that they have in common, train that once."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from ablation.stage_record import read_record
from ablation.sweep.command import main
from tests.ablation.test_chain import SETTINGS


def test_chains_that_are_killed_in_their_common_stage_train_it_once(tmp_path, capsys):
    runs, slow, often = tmp_path / "runs", tmp_path / "slow.yaml", tmp_path / "often.yaml"
    slow.write_text("model: {stage: {encoder: 1.0e-5}}")
    checkpoints = [{"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 1}}]
    often.write_text(json.dumps({"trainer": {"max_epochs": 12, "callbacks": checkpoints}}))
    stages = [f"configs/stage/align.yaml+{often}", f"configs/stage/instruct.yaml,configs/stage/integrate.yaml+{slow}"]
    words = ["experiments/no_lste.yaml", "--stages", *stages, "--name=common", f"--runs={runs}"]
    words += [f"--data.root={tmp_path / 'clips'}", "--trainer.limit_val_batches=0"]
    words += [setting for setting in SETTINGS if "max_epochs" not in setting]
    align = runs / "no_lste+align" / "seed_0"
    checkpoint = align / "checkpoints" / "last.ckpt"

    sweep = subprocess.Popen([sys.executable, "-m", "lightning", "sweep", *words], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while not checkpoint.exists():
        assert sweep.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    assert not (align / "summary.json").exists()

    main(words)
    last = [runs / f"no_lste+{stage}" / "seed_0" for stage in ("instruct", "integrate")]
    assert sorted(path.parent for path in runs.glob("*/seed_*/history.jsonl")) == sorted([align, *last])
    began = [[line for line in (folder / "history.jsonl").read_text().splitlines() if '"work": "fit"' in line
              and '"began"' in line] for folder in (align, *last)]  # fmt: skip
    assert [len(lines) for lines in began] == [2, 1, 1]
    assert torch.load(checkpoint, weights_only=True)["global_step"] == json.loads(
        (align / "summary.json").read_text())["steps"]  # fmt: skip
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert [read_record(folder).starts_from.sha256 for folder in last] == [digest] * 2
    assert [(folder / "answers" / "test.jsonl").exists() for folder in (align, *last)] == [False, True, True]
    assert "2 of 2 jobs are finished" in capsys.readouterr().out


def test_a_record_of_a_stage_with_wrong_types_is_named(tmp_path):
    start = {"checkpoint": "r/seed_0/checkpoints/last.ckpt", "sha256": "a", "configuration": "b"}
    for record in (
        {"configuration": 1, "starts_from": None},
        {"configuration": "a", "starts_from": ""},
        {"configuration": "a", "starts_from": start | {"checkpoint": 1}},
        {"configuration": "a", "starts_from": None, "checkpoint_sha256": ["a"]},
    ):
        (tmp_path / "stage.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match=r"stage\.json is no record of a stage"):
            read_record(tmp_path)

"""The same experiment on real clips: the tiny model learns the conversations that come with the repository by heart."""

import json
from pathlib import Path

import pytest

from lightning_modules.experiment_cli import ExperimentCLI


@pytest.mark.long
def test_the_tiny_model_learns_real_conversations_by_heart(tmp_path):
    records = json.loads(Path("tests/data/real_clips_qa.json").read_text())[::3]
    file = tmp_path / "qa.json"
    file.write_text(json.dumps(records))
    cli = ExperimentCLI(
        ["fit", "--config", "experiments/full.yaml", "--config", "configs/data/real_clips.yaml",
         *(f"--data.{split}={file}" for split in ("train", "val", "test")), f"--runs={tmp_path / 'runs'}",
         "--trainer.accelerator=cpu", "--trainer.max_epochs=80", "--trainer.check_val_every_n_epoch=80",
         "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    )  # fmt: skip
    answers = [json.loads(line) for line in (cli.folder / "answers/test.jsonl").read_text().splitlines()]
    assert len(answers) == sum(len(record["conversations"]) // 2 for record in records)
    assert sum(answer["right"] for answer in answers) >= 0.9 * len(answers)

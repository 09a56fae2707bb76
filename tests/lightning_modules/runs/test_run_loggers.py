"""A run is in its folder whatever logs it; loggers that the user names come beside those that every run has."""

import json
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger

from ablation.comparing.run import read_run
from tests.lightning_modules.short_run import losses

EXPERIMENT = Path("experiments/no_lste.yaml").resolve()
KEPT = {
    "config.yaml", "origin.txt", "parts.md", "history.jsonl", "summary.json", "checkpoints/last.ckpt",
    "answers/test.jsonl", "answers/test_scores.json",
}  # fmt: skip
SECRET = "key-of-an-account"


class CannotBegin(CSVLogger):
    @property
    def experiment(self):
        raise ConnectionError("no such\nserver")


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def two_seeds(run, monkeypatch, tmp_path):
    """Train two seeds with a logger, somewhere else; returns their run folders."""
    monkeypatch.chdir(tmp_path)

    def train(*arguments):
        folders = []
        for seed in (0, 1):
            folders.append(
                run("fit", f"--config={EXPERIMENT}", "--trainer.max_steps=1", "--trainer.log_every_n_steps=1",
                    "--trainer.limit_val_batches=0", f"--seed_everything={seed}", *arguments).folder
            )  # fmt: skip
        assert folders == [tmp_path / "runs" / "no_lste" / f"seed_{seed}" for seed in (0, 1)]
        for seed, folder in enumerate(folders):
            assert files(folder) >= KEPT
            assert read_run(folder, "fit").seed == seed
        assert not [path for path in tmp_path.rglob("*.ckpt") if not path.is_relative_to(tmp_path / "runs")]
        return folders

    return train


@pytest.mark.long
def test_another_csv_logger(two_seeds, tmp_path):
    folders = two_seeds("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=elsewhere")
    beside = [tmp_path / "elsewhere" / "lightning_logs" / f"version_{seed}" for seed in (0, 1)]
    assert [losses(folder) for folder in beside] == [losses(folder) for folder in folders]
    assert losses(folders[0]) != losses(folders[1]) != []
    assert all(list(folder.glob("events.out.tfevents*")) for folder in folders)


@pytest.mark.long
def test_weights_and_biases_offline(two_seeds, tmp_path, monkeypatch):
    pytest.importorskip("wandb").teardown()  # its process stays where an earlier test has started it
    monkeypatch.setenv("WANDB_SILENT", "true")
    folders = two_seeds("--trainer.logger=WandbLogger", "--trainer.logger.offline=true")
    kept = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 2 and all(b"train/loss" in file.read_bytes() for file in kept)
    assert all(len(losses(folder)) == 1 and list(folder.glob("events.out.tfevents*")) for folder in folders)


@pytest.mark.long
def test_mlflow_on_sqlite(two_seeds, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folders = two_seeds("--trainer.logger=MLFlowLogger", f"--trainer.logger.tracking_uri={place}")
    client = mlflow.MlflowClient(place)
    (experiment,) = [found for found in client.search_experiments() if found.name == "video-panda"]
    runs = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.info.start_time)
    assert [run.data.metrics["train/loss"] for run in runs] == pytest.approx(
        [float(losses(folder)[0]) for folder in folders]
    )
    assert all(list(folder.glob("events.out.tfevents*")) for folder in folders)


@pytest.mark.long
def test_no_logger_at_all(two_seeds, run, tmp_path):
    for folder in two_seeds("--trainer.logger=false"):
        assert not {path for path in files(folder) if path.startswith(("metrics", "events", "hparams"))}
        assert json.loads((folder / "summary.json").read_text())["figures"].keys() >= {"test/loss", "train/loss"}
    tested = run("test", f"--config={EXPERIMENT}", "--trainer.logger=false")
    assert files(tested.folder) >= {"config.yaml", "answers/test.jsonl", "answers/test_scores.json"}


@pytest.mark.long
def test_a_logger_that_cannot_be_says_why_not(fails, tiny, tmp_path):
    def said(*arguments):
        status, error = fails("fit", f"--config={EXPERIMENT}", *tiny, f"--runs={tmp_path / 'runs'}", *arguments)
        return status, error.splitlines()[-1]

    status, line = said("--trainer.logger=CometLogger", f"--trainer.logger.api_key={SECRET}")
    assert status == 1 and line.startswith("error: trainer.logger cannot be built: ") and "comet-ml" in line
    assert SECRET not in line
    status, line = said(
        f"--trainer.logger={__name__}.CannotBegin", f"--trainer.logger.save_dir={tmp_path / 'elsewhere'}"
    )
    assert (status, line) == (1, "error: trainer.logger CannotBegin cannot begin: no such server")
    here = [f"--trainer.logger.{key}={value}" for key, value in
            {"save_dir": tmp_path / "runs", "name": "no_lste", "version": "seed_0"}.items()]  # fmt: skip
    for name in ("CSVLogger", "TensorBoardLogger"):
        status, line = said(f"--trainer.logger={name}", *here)
        assert status == 1 and f"{name} writes into {tmp_path / 'runs' / 'no_lste' / 'seed_0'}, where every run" in line
    assert said("--trainer.logger=CSVLogger") == (2, "error: trainer.logger: CSVLogger needs save_dir")
    status, line = said("--trainer.logger=CSVLoger")
    assert status == 2 and line.startswith("error: unknown logger 'CSVLoger' (trainer.logger); known: ")
    assert line.endswith("did you mean CSVLogger?")
    assert not files(tmp_path)

"""What services beside TensorBoard are given: names, settings, answers and pictures; and that a run goes on there."""

import csv
import json
import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.experiment_parser import experiment_parser
from lightning_modules.resolve import changes, resolve
from lightning_modules.runs.folder import LOGGERS
from lightning_modules.runs.logger_families import (
    LoggerFamily,
    MLflow,
    Table,
    TensorBoard,
    WeightsAndBiases,
    family_of,
)
from lightning_modules.runs.loggers import named, started

SECRET = "ab12" + "cd34ef"  # not as one word here: a run stores code that differs from its commit
EXPERIMENT = Path("experiments/no_lste.yaml").resolve()


class WithKey(CSVLogger):
    def __init__(self, save_dir: str, api_key: str):
        super().__init__(save_dir)


class Recording(WandbLogger):
    def __init__(self, name=None, project=None, **settings):
        self.given = {"name": name, "project": project, **settings}


def records(folder, kind):
    """Return the records of a kind in a W&B folder, whose file is a log of LevelDB behind seven bytes."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = folder.glob("*.wandb")
    data, place, part, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, ending = struct.unpack("<HB", data[place + 4 : place + 7])
        part += data[place + 7 : place + 7 + size]
        place += 7 + size
        if ending in (1, 4):
            record, part = pb.Record.FromString(part), b""
            if record.WhichOneof("record_type") == kind:
                found.append(getattr(record, kind))
    return found


def logged(folder):
    """Return the rows of a W&B history."""
    histories = records(folder, "history")
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in histories
    ]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run with W&B, MLflow and a logger with a key beside the usual ones, which was resumed after two steps."""
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb").teardown()  # its process stays where an earlier test has started it
    place = tmp_path_factory.mktemp("place")
    loggers = [
        "--trainer.logger+=WandbLogger", "--trainer.logger.offline=true", "--trainer.logger+=MLFlowLogger",
        f"--trainer.logger+={__name__}.WithKey", "--trainer.logger.save_dir=elsewhere", "--trainer.logger.api_key",
        SECRET, "--trainer.log_every_n_steps=1", "--trainer.check_val_every_n_epoch=1",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("WANDB_SILENT", "true")
        for variable in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "MLFLOW_TRACKING_URI"):
            patch.delenv(variable, raising=False)
        for steps, more in ((2, []), (4, ["--ckpt_path=runs/no_lste/seed_0/checkpoints/last.ckpt"])):
            words = ["fit", f"--config={EXPERIMENT}", *tiny, *loggers, f"--trainer.max_steps={steps}", *more]
            patch.setattr("sys.argv", ["video-panda", *words])
            cli = ExperimentCLI(words)
    torch.use_deterministic_algorithms(False)
    assert cli.folder == Path("runs/no_lste/seed_0")
    return place


@pytest.fixture
def wandb_folders(trained):
    return sorted(trained.glob("wandb/offline-run-*"))


@pytest.fixture
def mlflow_run(trained):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("video-panda")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


@pytest.fixture
def artifacts(trained, mlflow_run):
    return trained / "mlruns" / mlflow_run.info.experiment_id / mlflow_run.info.run_id / "artifacts"


@pytest.mark.long
def test_a_resumed_run_goes_on_in_the_same_run_of_each_service(trained, wandb_folders, mlflow_run):
    runs = [records(folder, "run")[0] for folder in wandb_folders]
    assert len(runs) == 2 and runs[0].run_id == runs[1].run_id
    names = {(run.project, run.display_name, run.run_group) for run in runs}
    assert names == {("video-panda", "no_lste/seed_0", "no_lste")}
    steps = [[row["trainer/global_step"] for row in logged(folder) if "train/loss" in row] for folder in wandb_folders]
    assert [sorted(set(some)) for some in steps] == [[0, 1], [2, 3]]
    assert mlflow_run.info.run_name == "no_lste/seed_0" and mlflow_run.info.status == "FINISHED"
    assert mlflow_run.data.params["config/trainer/max_steps"] == "2"
    assert mlflow_run.data.tags["resumed/config/trainer/max_steps"] == "4"
    kept = json.loads((trained / "runs" / "no_lste" / "seed_0" / LOGGERS).read_text())
    assert kept == {"WandbLogger": [runs[0].run_id], "MLFlowLogger": [mlflow_run.info.run_id]}
    assert all(len(records(folder, "exit")) == 1 for folder in wandb_folders)  # ended with its training


@pytest.mark.long
def test_settings_can_be_grouped_by_what_was_ablated(wandb_folders, mlflow_run):
    updates = [update for record in records(wandb_folders[0], "config") for update in record.update]
    settings = {update.key: json.loads(update.value_json) for update in updates}
    assert [settings[key] for key in ("ablated", "local_encoding", "experiment", "seed")] == [
        "NoLocalEncoding", "NoLocalEncoding", "no_lste", "0"]  # fmt: skip
    assert settings["config"]["model"]["encoder"]["init_args"]["width"] == 96
    assert mlflow_run.data.params["local_encoding"] == "NoLocalEncoding"
    assert {"train/minutes", "test/exact_match/mean", "test_interval/exact_match/mean/low"} <= set(
        mlflow_run.data.metrics
    )


@pytest.mark.long
def test_pictures_are_the_same_at_the_same_steps(trained, wandb_folders, artifacts):
    events = EventAccumulator(str(trained / "runs" / "no_lste" / "seed_0"), size_guidance={"images": 0})
    events.Reload()
    tag = "samples/blink/0"
    shown = {event.step: event.encoded_image_string for event in events.Images(tag)}
    assert set(shown) == {2, 4}
    pictures = {}
    for folder in wandb_folders:
        for row in logged(folder):
            for name in row.get(f"{tag}/filenames", []):
                pictures[row["trainer/global_step"]] = np.asarray(Image.open(folder / "files" / name))
    stored = {int(file.name.split("+step+")[1].split("+")[0]): np.asarray(Image.open(file))
              for file in (artifacts / "images").glob("samples~blink~0*.png")}  # fmt: skip
    (trained / "shown.png").write_bytes(shown[4])
    assert set(pictures) == set(stored) == {2, 4}
    assert (pictures[4] == stored[4]).all() and (pictures[4] == np.asarray(Image.open(trained / "shown.png"))).all()


@pytest.mark.long
def test_answers_are_tables(trained, wandb_folders, artifacts):
    rows = [json.loads(line) for line in
            (trained / "runs" / "no_lste" / "seed_0" / "answers" / "test.jsonl").read_text().splitlines()]  # fmt: skip
    said = [[row["question"], row["reference"], row["prediction"], row["right"]] for row in rows]
    clips = [Path(row["video"]).name for row in rows]
    (file,) = (wandb_folders[1] / "files" / "media" / "table" / "test").glob("answers_*.table.json")
    table = json.loads(file.read_text())
    assert [row[3:] for row in table["data"]] == said and [row[1] for row in table["data"]] == clips
    with (artifacts / "test" / "answers" / "step_000004.csv").open() as stored:
        assert [[*row[3:6], row[6] == "True"] for row in list(csv.reader(stored))[1:]] == said
    (artifact,) = [a for a in records(wandb_folders[0], "artifact") if a.name.endswith("-answers")]
    held = [content.path for content in artifact.manifest.contents]
    assert sum(path.endswith(".png") for path in held) == 9  # the frames are in the table of the validation
    assert (artifacts / "answers" / "step_000002.csv").read_text().startswith("family,question,reference,answer,right")
    assert "NoLocalEncoding" in (artifacts / "parts.md").read_text() and (artifacts / "origin.md").is_file()
    assert list((wandb_folders[0] / "files" / "media" / "html").glob("parts_*.html"))


@pytest.mark.long
def test_no_secret_is_stored_but_in_the_config_that_repeats_the_run(trained):
    files = [file for file in trained.rglob("*") if file.is_file() and not file.is_symlink()]
    assert any(file.suffix == ".wandb" for file in files) and trained / "mlflow.db" in files
    assert {file.name for file in files if SECRET.encode() in file.read_bytes()} == {"config.yaml"}


def test_what_the_user_or_the_environment_names_is_left_as_it_is(tmp_path, monkeypatch):
    for variable in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_RESUME"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "runs" / "full" / "seed_1.2"
    nothing = dict.fromkeys(("name", "project", "group", "id", "resume", "tags"))
    names = {"name": "full/seed_1.2", "project": "video-panda", "group": "full", "resume": "allow"}
    assert named(folder)(Recording, **nothing).given == nothing | names
    assert named(folder)(Recording, **nothing | {"project": "mine"}).given["project"] == "mine"
    assert named(folder)(Recording, name=None).given == {"name": "full/seed_1.2", "project": None}  # takes no others
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    assert named(folder)(Recording, **nothing).given["project"] is None  # W&B reads its variable itself
    folder.mkdir(parents=True)
    (folder / LOGGERS).write_text('{"Recording": ["first", "second"]}')
    build = named(folder)
    assert [build(Recording, **nothing).given["id"] for _ in range(3)] == ["first", "second", None]


@pytest.mark.long
def test_a_run_that_fails_is_a_failed_run_of_each_service(tmp_path, monkeypatch):
    pytest.importorskip("wandb").teardown()
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_SILENT", "true")
    of_mlflow = MLFlowLogger(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    with (
        pytest.raises(KeyboardInterrupt),
        started([None, None, WandbLogger(save_dir=tmp_path, offline=True), of_mlflow]),
    ):
        raise KeyboardInterrupt
    run = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(of_mlflow.run_id)
    assert run.info.status == "FAILED"
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    deadline = time.monotonic() + 30
    while not (ends := records(folder, "exit")) and time.monotonic() < deadline:  # another process writes the file
        time.sleep(0.1)
    assert [end.exit_code for end in ends] == [1]


def test_the_file_of_the_guide_adds_its_loggers(tmp_path):
    pytest.importorskip("wandb"), pytest.importorskip("mlflow")
    (content,) = re.findall(r"```yaml\n(.*?)```", Path("docs/loggers.md").read_text(), re.DOTALL)
    (tmp_path / "lamps.yaml").write_text(content.replace("no_lste.yaml", str(EXPERIMENT)))
    config = resolve(["fit", f"--config={tmp_path / 'lamps.yaml'}"]).config
    first, second = config.trainer.logger
    assert first.class_path.endswith("WandbLogger") and first.init_args.tags == ["pilot"]
    assert second.class_path.endswith("MLFlowLogger")


def test_a_logger_changes_neither_the_name_of_a_run_nor_its_experiment():
    pytest.importorskip("wandb")
    experiment = resolve(["fit", f"--config={EXPERIMENT}", "--trainer.logger+=WandbLogger"])
    assert experiment.config.name == "no_lste"
    assert changes(experiment, experiment_parser()).own == ["model.encoder.local_encoding: LSTE -> NoLocalEncoding"]


def test_a_logger_is_known_by_its_class(tmp_path):
    assert family_of(CSVLogger) is LoggerFamily and family_of(Recording) is WeightsAndBiases
    assert family_of(TensorBoardLogger) is TensorBoard and family_of(MLflow.kind) is MLflow
    plain = LoggerFamily(CSVLogger(tmp_path))
    plain.table("answers", Table(["a"], [["b"]]), 0)
    plain.settings({"seed": "1"})
    plain.end(failed=False)


def test_a_long_table_says_in_tensorboard_that_it_goes_on(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    picture = Image.new("RGB", (4, 4))
    rows = [[picture, f"a|{number}", number == 0] for number in range(TensorBoard.most_rows + 20)]
    TensorBoard(logger).table("answers", Table(["frames", "answer", "right"], rows, pictures=["frames"]), 3)
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    (event,) = events.Tensors("answers/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert text.startswith("| answer | right |\n| --- | --- |\n| a&#124;0 | ✓ |\n| a&#124;1 | ✗ |\n")
    assert text.endswith("\nand 20 more rows") and text.count("\n|") == 1 + TensorBoard.most_rows

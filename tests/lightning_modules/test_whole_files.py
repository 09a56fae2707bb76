"""Every file that readers later trust is there whole, or not at all: on a disk that fills, the earlier one stays."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ablation.judging.figures import keep_scores
from ablation.judging.judge import ExactMatch
from ablation.stage_record import StageRecord
from components.files import write_whole
from components.official.folder import new_folder
from datamodules.checking.manifest import finish
from datamodules.shapes_in_motion import SceneSettings, build_split
from datamodules.video_qa import VideoQA
from lightning_modules.callbacks import BenchmarkReport, ConfigFile, OriginFile, PartReport, RunHistory
from lightning_modules.callbacks.model_views import save_picture
from lightning_modules.runs.folder import is_unused
from lightning_modules.runs.origin import Origin
from lightning_modules.video_language import VideoLanguageModel

PACKAGES = ("components", "datamodules", "lightning_modules", "ablation", "video_panda")
BY_ITSELF = re.compile(
    r"\.write_(?:text|bytes)\(|\bopen\([^)\n]*[\"'][wx]b?[\"']|json\.dump\(|\bsave_file\(|(?<!safetensors\.)\btorch\.save\(|copyfile\("
)
# The only files of ours that write otherwise than by `write_whole`, and why.
ALLOWED = {
    "components/files.py": "is the one way",
    "lightning_modules/training/distributed_checkpoint.py": "into `whole_file`",
    "datamodules/checking/manifest.py": "into `whole_file`",
    "datamodules/shapes_in_motion/files.py": "a video in memory",
    "components/official/folder.py": "into `new_folder`, which is there whole or not at all",
    "components/official/importing.py": "into `new_folder`",
    "components/official/baselines.py": "into `new_folder`",
    "components/official/eve.py": "into `new_folder`",
    "components/language_models/pretrained_causal_lm.py": "into `new_folder`, for an export",
    "components/vision_transformers/checkpoint.py": "into `new_folder`, for an export",
    "lightning_modules/export/model_folder.py": "into `new_folder`",
    "lightning_modules/export/transformers_files.py": "into `new_folder`",
    "lightning_modules/programs/pretrain_tiny.py": "into `new_folder`",
    "lightning_modules/export/gguf_model.py": "into `new_folder`, and what it unpacks into a temporary folder",
    "video_panda/chat/slash_commands.py": "a picture that the user asks for",
    "video_panda/serving/media.py": "a clip that was sent, into a temporary folder",
    "video_panda/model.py": "beside what transformers writes into the user's folder by `save_pretrained`",
}


def test_nothing_else_writes_by_itself():
    files = [file for package in PACKAGES for file in Path(package).rglob("*.py")]
    writing = {file.as_posix() for file in files if BY_ITSELF.search(file.read_text())}
    assert writing == ALLOWED.keys()


@pytest.fixture
def for_the_group_too():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_new_folder_is_for_whom_the_umask_says(tmp_path, for_the_group_too):
    with new_folder(tmp_path / "out") as folder:
        save_file({"weight": torch.zeros(3)}, folder / "weights.safetensors")
        (folder / "part").mkdir()
        (folder / "part" / "README.md").write_text("card")
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
        "weights.safetensors": "0o640", "README.md": "0o640"
    }  # fmt: skip


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def writers(finished, tmp_path, monkeypatch):
    """What writes files of a run, and beside runs: name of the file -> how it comes to be written."""
    trainer, model, folder = finished.trainer, finished.model, finished.folder
    code = {"code": {"commit": "0" * 40, "changed": True}}
    monkeypatch.setattr("lightning_modules.callbacks.run_history.environment", lambda trainer: code)
    monkeypatch.setattr("lightning_modules.callbacks.run_history.uncommitted", lambda file: b"a patch of some length")
    origin = Origin(changes=["model.encoder.fusion: LearnedFusion -> FrameOnly"])
    (config,) = (callback for callback in trainer.callbacks if isinstance(callback, ConfigFile))
    benchmark = SimpleNamespace(report=lambda: {"name": "a benchmark"}, unanswered=[])
    asked = Mock(spec=VideoLanguageModel, data=Mock(spec=VideoQA, loaded=lambda: [benchmark]))
    judge = ExactMatch().identity
    clips = build_split(tmp_path / "clips", "train", 1, SceneSettings(), 0, 1)[0].parent
    for made_once in (folder / "parts.md", folder / "uncommitted.diff", clips / "manifest.json"):
        made_once.unlink(missing_ok=True)
    answers = folder / "answers" / "test.jsonl"
    return {
        "manifest.jsonl": lambda: finish(tmp_path / "manifest.jsonl", []),
        "stage.json": lambda: StageRecord("a" * 64).write(folder),
        "clips/": lambda: build_split(tmp_path / "clips", "train", 1, SceneSettings(), 0, 1),
        "test.x.scores.json": lambda: keep_scores(folder / "judgements/test/x.jsonl", answers, judge, [], [], {}),
        "test_scores.json": lambda: finished.score_file.on_test_end(trainer, model),
        "summary.json": lambda: finished.summary.keep(trainer),
        "origin.txt": lambda: OriginFile(origin).setup(trainer, model, "fit"),
        "config.yaml": lambda: config.save_config(trainer, model, "fit"),
        "parts.md": lambda: PartReport().setup(trainer, model, "fit"),
        "uncommitted.diff": lambda: RunHistory(origin).setup(trainer, model, "fit"),
        "test_benchmarks.json": lambda: BenchmarkReport().on_test_end(trainer, asked),
        "view.png": lambda: save_picture(Image.new("RGB", (9, 9)), folder / "views" / "view.png"),
    }


def test_on_a_full_disk_the_earlier_file_stays(writers, finished, tmp_path, files_end_at):
    for name, write in writers.items():
        for _ in range(2):  # without an earlier file, and with one
            finished.trainer.logger.experiment.flush()  # or TensorBoard's thread adds to its events meanwhile
            before = contents(tmp_path)
            with files_end_at(10), pytest.raises((OSError, ValueError)) as caught:
                write()
            assert name in str(caught.value), name
            assert contents(tmp_path) == before, f"{name}: nothing is lost, and nothing by halves"
            if name in ("parts.md", "uncommitted.diff", "clips/", "origin.txt"):  # are not written a second time
                break
            write()
            assert any(file.name == name for file in contents(tmp_path)), f"{name}: is written now"


def test_what_a_kill_left_is_no_run_and_goes_when_one_begins(run, tmp_path):
    folder = tmp_path / "runs" / "no_lste" / "seed_0"
    StageRecord("a" * 64).write(folder)
    left = folder / ".stage.json.0123abcd.unfinished"
    left.write_text("half")
    assert is_unused(folder)
    cli = run("fit", "--config=experiments/no_lste.yaml", "--trainer.max_steps=1", "--test_after_fit=false",
              "--trainer.limit_val_batches=0")  # fmt: skip
    assert cli.folder == folder and not left.exists() and (folder / "stage.json").is_file()


@pytest.mark.parametrize("name", ["absent/file", "folder"])
def test_errors_name_the_file_and_not_what_it_is_called_before(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "absent").write_text("no folder")
    with pytest.raises(OSError, match=r"a directory|File exists") as caught:
        write_whole(tmp_path / name, "x")
    assert "unfinished" not in str(caught.value.filename2 or caught.value.filename)

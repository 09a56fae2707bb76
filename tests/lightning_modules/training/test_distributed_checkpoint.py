"""The checkpoint folder of a sharded training: any run reads it, its damage is named, and it is there whole or not."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from lightning import Callback
from torch import distributed, nn
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from ablation.sweep.state import state_of
from components.files import content_hash, earlier
from lightning_modules.cli import main
from lightning_modules.runs.folder import INTERRUPTED_CHECKPOINT, LAST_CHECKPOINT, newest_checkpoint
from lightning_modules.training.checkpoint import CheckpointError, WholeFileIO, check_checkpoint, read_checkpoint
from lightning_modules.training.distributed_checkpoint import StoredTensor, save_sharded
from lightning_modules.training.fully_sharded import shard_like, whole_tensor
from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.short_run import losses
from tests.lightning_modules.two_ranks import STATISTICS, run_two
from video_panda import VideoPanda

# Batch normalisation by clip, or the batch of one process would matter.
SETTINGS = (
    "--config=experiments/clip_statistics.yaml",
    "--name=sharded",
    "--model.encoder.dropout=0",
    "--model.stage.global_batch=2",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
)
FSDP = "--config=configs/trainer/fsdp.yaml"


@pytest.fixture
def network(tmp_path):
    """Return a network whose tensors are sharded over this process alone."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    torch.manual_seed(0)
    yield fully_shard(
        nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)),
        mesh=init_device_mesh("cpu", (1, 1), mesh_dim_names=("machines", "devices")),
    )
    distributed.destroy_process_group()


@pytest.fixture
def save(network, tmp_path):
    """Write the checkpoint of the network, as a step of a training; returns its path."""

    def saved(step=1):
        path, weights = tmp_path / "run" / LAST_CHECKPOINT, network.state_dict()
        content = {"state_dict": weights, "components": {}, "global_step": step, "callbacks": {"": torch.ones(9999)}}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sharded(content, path, path.with_name(".last.ckpt.0.unfinished"))
        return path

    return saved


def test_a_stored_tensor_is_like_one_in_memory(network, save):
    (save() / ".metadata").unlink()  # a pickle, for tools of others
    check_checkpoint(save())
    expected = {name: whole_tensor(tensor) for name, tensor in network.state_dict().items()}
    stored = read_checkpoint(save(), "ckpt_path")["state_dict"]
    weight = stored["0.weight"]
    assert isinstance(weight, StoredTensor) and not isinstance(stored["1.running_mean"], StoredTensor)
    assert (weight.shape, weight.dtype, weight.device.type, weight.is_meta) == ((5, 3), torch.float32, "cpu", False)
    assert type(weight.detach()) is type(weight.T) is torch.Tensor
    assert torch.equal(weight.read(1, 4), expected["0.weight"][1:4])
    plain = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    plain.load_state_dict(stored)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
        ours = network.state_dict()[name]
        assert torch.equal(whole_tensor(shard_like(stored[name], ours)), expected[name])


def test_damage_is_named_with_key_and_file(save, tmp_path):
    path = save()
    shards, rest = path / "__0_0.distcp", path / "meta.pt"
    whole, skeleton = shards.read_bytes(), rest.read_bytes()

    def refused(said):
        with pytest.raises(CheckpointError, match=said) as caught:
            check_checkpoint(path, key="init_from")
        assert f"init_from {path}" in str(caught.value) and "\n" not in str(caught.value)

    place = whole.index(read_checkpoint(path, "")["state_dict"]["0.weight"].numpy().tobytes())
    shards.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    refused("has state_dict.0.weight in __0_0.distcp, .*checksum of .*data/0")
    shards.write_bytes(whole[: len(whole) // 2])
    refused("in __0_0.distcp")
    shards.unlink()
    refused("in __0_0.distcp, which cannot be read: No such file")
    shards.write_bytes(whole)
    content = torch.load(rest, weights_only=True)
    content["shards"]["state_dict.0.weight"] = []
    torch.save(content, rest)
    refused("meta.pt does not say where all of state_dict.0.weight is")
    rest.write_bytes(skeleton[: len(skeleton) // 2])
    refused("is not a checkpoint")
    rest.unlink()
    refused("is a folder without meta.pt")
    rest.write_bytes(skeleton)
    check_checkpoint(path)


def test_a_training_that_came_to_nothing_is_named(network, save):
    with torch.no_grad():
        network[0].bias[0] = float("nan")
    with pytest.raises(CheckpointError, match=r": 0\.bias has NaN"):
        check_checkpoint(save())


def test_on_a_full_disk_the_earlier_one_stays(save, files_end_at):
    path = save()
    before = content_hash(path)
    for size in (10, (path / "__0_0.distcp").stat().st_size):  # in the shards, and in the rest
        with files_end_at(size), pytest.raises(OSError) as caught:
            save()
        assert caught.value.filename == str(path)
        assert content_hash(path) == before and list(path.parent.iterdir()) == [path]


def test_a_kill_between_two_renamings_loses_nothing(save, monkeypatch):
    path = save(step=1)
    rename = Path.rename

    def killed(source, target):
        if source.name.endswith("unfinished"):
            raise KeyboardInterrupt
        return rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        save(step=2)
    folder = path.parent.parent
    assert newest_checkpoint([folder]) == earlier(path) == state_of(folder).checkpoint
    assert read_checkpoint(earlier(path), "ckpt_path")["global_step"] == 1
    save(step=3)
    assert newest_checkpoint([folder]) == path and list(path.parent.iterdir()) == [path]
    assert read_checkpoint(path, "ckpt_path")["global_step"] == 3


def test_a_folder_and_a_file_replace_each_other(save):
    path = save(step=1)
    WholeFileIO().save_checkpoint(WholeFileIO().load_checkpoint(path) | {"global_step": 2}, path)
    assert path.is_file() and list(path.parent.iterdir()) == [path]
    whole = torch.load(path, weights_only=True)
    assert whole["global_step"] == 2 and type(whole["state_dict"]["0.weight"]) is torch.Tensor
    save(step=3)
    assert path.is_dir() and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_the_hash_of_a_folder_is_one_that_anybody_can_work_out(network, save):
    def by_hand(folder):
        command = "LC_ALL=C sha256sum * | sha256sum"
        return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True).stdout.split()[0]

    path = save()
    before = content_hash(path)
    assert before == by_hand(path)
    with torch.no_grad():
        network[0].bias.add_(1)
    assert content_hash(save()) == by_hand(path) != before


def with_callbacks(folder, **callbacks):
    """Write a configuration with these callbacks, each with its arguments."""
    path = folder / "callbacks.yaml"
    listed = [{"class_path": name, "init_args": arguments} for name, arguments in callbacks.items()]
    path.write_text(json.dumps({"trainer": {"callbacks": listed}}))
    return f"--config={path}"


def test_whatever_reads_a_checkpoint_reads_the_folder(run, fails, words, tmp_path, capsys):
    kept = with_callbacks(tmp_path, LastCheckpoint={}, ModelCheckpoint={"every_n_train_steps": 1, "save_top_k": 1})
    trained = run("fit", *SETTINGS, FSDP, kept, "--trainer.devices=1", "--trainer.max_epochs=1")
    folder, expected = trained.folder, {name: whole_tensor(part) for name, part in trained.model.state_dict().items()}
    last = folder / LAST_CHECKPOINT
    assert sorted(file.name for file in last.parent.iterdir()) == ["epoch=0-step=2.ckpt", "last.ckpt"]
    assert last.is_dir()
    tested = run("test", *SETTINGS, f"--ckpt_path={last}")
    figures = {name: float(value) for name, value in trained.trainer.callback_metrics.items() if "test/" in name}
    assert figures and tested.summary.figures == pytest.approx(figures, rel=1e-4)
    started = run("test", *SETTINGS, f"--init_from={last}")
    assert started.summary.figures == tested.summary.figures
    status, error = fails(*words("fit", *SETTINGS, f"--ckpt_path={last}", "--model.stage.encoder=0"))
    assert status == 1 and f"ckpt_path {last} is of a training of" in error
    capsys.readouterr()
    main(["show", str(folder)])
    assert f"last.ckpt: {len(expected)} tensors" in capsys.readouterr().out
    main(["export", str(folder), "--out", str(tmp_path / "model")])
    for source in (folder, last, tmp_path / "model"):
        model = VideoPanda.from_pretrained(source, device="cpu").model
        for name, tensor in model.state_dict().items():
            ours = name.replace("language_model.", "language_model.network.", 1)
            assert torch.equal(tensor, expected[ours]), name


class KilledWhileWriting(Callback):
    """Kills every process when it has written its shards of a step, before the checkpoint is complete."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            write = FileSystemWriter.write_data
            FileSystemWriter.write_data = lambda *plans: (write(*plans), os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.long
def test_one_two_and_one_device_go_on_from_each_other_although_killed_while_writing(
    run, fails, words, tmp_path, monkeypatch, capsys
):
    def interrupted(self, batch, batch_idx):
        if self.global_step == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    whole = run("fit", *SETTINGS)
    step = VideoLanguageModel.training_step
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", interrupted)
        run("fit", *SETTINGS, FSDP, "--trainer.devices=1")
    folder = whole.folder.with_name("seed_0.2")
    assert (folder / INTERRUPTED_CHECKPOINT).is_dir()

    name = "tests.lightning_modules.training.test_distributed_checkpoint.KilledWhileWriting"
    killed = with_callbacks(tmp_path, LastCheckpoint={"every_n_steps": 1}, **{name: {"step": 3}})
    resume = f"--ckpt_path={folder / INTERRUPTED_CHECKPOINT}"
    status, _ = run_two(*words("fit", *SETTINGS, FSDP, killed, resume, "--data.batch_size=1"))
    assert status == [-signal.SIGKILL] * 2
    last = folder / LAST_CHECKPOINT
    (left,) = last.parent.glob(".last.ckpt.*.unfinished")
    assert {file.name for file in left.iterdir()} == {"__0_0.distcp", "__1_0.distcp"}
    assert read_checkpoint(last, "ckpt_path")["global_step"] == 2

    shutil.copytree(last, copy := tmp_path / "copy.ckpt")
    (copy / "__1_0.distcp").unlink()
    status, error = fails(*words("fit", *SETTINGS, f"--init_from={copy}"))
    assert status == 1 and f"init_from {copy} has " in error and "in __1_0.distcp, which cannot be read" in error

    capsys.readouterr()
    resumed = run("fit", *SETTINGS, "--ckpt_path=last")
    assert f"ckpt_path last is {last}" in capsys.readouterr().out
    assert resumed.folder == folder and last.is_file() and not left.exists()
    assert [float(loss) for loss in losses(folder)] == pytest.approx(
        [float(loss) for loss in losses(whole.folder)[2:]], rel=1e-4
    )
    expected = torch.load(whole.folder / LAST_CHECKPOINT, weights_only=True)["state_dict"]
    for name, tensor in torch.load(last, weights_only=True)["state_dict"].items():
        if not name.endswith(STATISTICS):
            torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)

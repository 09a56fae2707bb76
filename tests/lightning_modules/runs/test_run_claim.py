"""One run folder, one run: what two processes do that want the same, and what a name may be."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from jsonargparse import Namespace

from ablation.sweep.request import request_of
from lightning_modules.runs.claim import claimed
from lightning_modules.runs.folder import LOCK_FILE, checked_name, free_folder
from lightning_modules.runs.lock import Lock
from tests.lightning_modules.short_run import NO_LSTE

ONE_STEP = (*NO_LSTE, "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false")
HOLDS = (
    "import pathlib, sys, time; from lightning_modules.runs.lock import Lock; "
    "lock = Lock(pathlib.Path(sys.argv[1])); assert lock.take(); print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def held():
    """Hold a folder by another process, which is given back."""
    started = []

    def hold(folder):
        command = [sys.executable, "-c", HOLDS, folder / LOCK_FILE]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("lightning_modules.runs.claim.PATIENCE", 0.0)
    monkeypatch.setattr("lightning_modules.runs.claim.A_MOMENT", 0.0)


def settings(runs, **others):
    trainer = Namespace(default_root_dir=None, fast_dev_run=False)
    return Namespace(runs=str(runs), name="full", seed_everything=0, continue_answers=None, trainer=trainer, **others)


@pytest.mark.long
def test_a_new_run_takes_the_next_folder_and_one_that_was_killed_lets_go(run, held, impatient, tmp_path):
    other = held(tmp_path / "runs" / "no_lste" / "seed_0")
    second = run("fit", *ONE_STEP)
    assert second.folder.name == "seed_0.2"
    assert [path.name for path in (tmp_path / "runs" / "no_lste" / "seed_0").iterdir()] == [LOCK_FILE]
    assert not (second.folder / LOCK_FILE).exists(), "a run that has ended leaves nothing of its claim"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert run("fit", *ONE_STEP).folder.name == "seed_0"


@pytest.mark.long
def test_a_run_that_goes_on_is_refused_while_another_process_works_in_its_folder(run, fails, tiny, held, impatient):
    trained = run("fit", *ONE_STEP)
    tested = run("test", *NO_LSTE)
    runs = f"--runs={trained.folder.parents[1]}"
    for folder, verb, setting in (
        (trained.folder, "fit", f"--ckpt_path={trained.folder / 'checkpoints' / 'last.ckpt'}"),
        (tested.folder, "test", f"--continue_answers={tested.folder}"),
    ):
        other = held(folder)
        before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
        status, error = fails(verb, *NO_LSTE, *tiny, runs, setting)
        named = f"process {other.pid} on {socket.gethostname()} is at work in {folder}; wait for it or stop it first"
        assert status == 1 and error.splitlines()[-1] == f"error: {setting.partition('=')[0][2:]}: {named}"
        assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
        other.kill()
        other.wait()
        run(verb, *(ONE_STEP if verb == "fit" else NO_LSTE), setting)


def test_runs_that_begin_together_have_a_folder_each_and_leave_none_that_they_did_not_use(tmp_path, impatient):
    together = Barrier(6, timeout=20)

    def begin(number):
        together.wait()
        with claimed(settings(tmp_path / "runs"), "fit") as folder:
            together.wait()
            if number == 0:
                (folder / "config.yaml").touch()
            together.wait()
            return folder

    with ThreadPoolExecutor(6) as threads:
        folders = list(threads.map(begin, range(6)))
    assert len(set(folders)) == 6
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [folders[0] / "config.yaml"]
    assert [*(tmp_path / "runs" / "full").iterdir()] == [folders[0]]


@pytest.mark.parametrize("place", [{"NODE_RANK": "1"}, {"GROUP_RANK": "1"}, {"rank": 1}])
def test_further_processes_of_a_run_hold_nothing_and_are_not_refused(tmp_path, monkeypatch, place):
    config = settings(tmp_path)
    with claimed(config, "fit") as folder:
        (folder / "config.yaml").touch()
        checkpoint = folder / "checkpoints" / "last.ckpt"
        for name, value in place.items():
            if name == "rank":
                monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", value)
            else:
                monkeypatch.setenv(name, value)
        with claimed(settings(tmp_path, ckpt_path=str(checkpoint)), "fit") as same:
            assert same == folder
        assert Lock(folder / LOCK_FILE).is_held()


def test_a_file_system_without_locks_is_warned_about(tmp_path, monkeypatch, caplog):
    def no_locks(descriptor, operation):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with claimed(settings(tmp_path), "fit") as folder:
        (folder / "config.yaml").touch()
    assert f"take care that no other run works in {folder}" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "cannot be that of a folder of its own"),
        (" ", "cannot be that of a folder of its own"),
        (".", "cannot be that of a folder of its own"),
        ("..", "cannot be that of a folder of its own"),
        (".locks", "cannot be that of a folder of its own"),
        ("sweeps", "cannot be that of a folder of its own"),
        ("../elsewhere", "'../elsewhere' cannot be that of"),
        ("a/b", "has '/' in it"),
        ("/tmp/elsewhere", "has '/' in it"),
        ("a\\b", r"has '\\\\' in it"),
        ("a\nb", r"'a\\nb' has '\\n' in it"),
        ("a\x1b[31m", r"'a\\x1b\[31m' has '\\x1b' in it"),
        ("a\0b", r"has '\\x00' in it"),
        ("a\u202eb", r"has '\\u202e' in it"),
        ("a\udc80", r"has '\\udc80' in it"),
        ("long" * 51, "has 204 bytes; give one of at most 200"),
        ("ж" * 101, "has 202 bytes; give one of at most 200"),
    ],
)
def test_a_name_cannot_leave_the_folder_of_all_runs(name, message, tmp_path):
    for named in (checked_name, lambda name: free_folder(tmp_path, name, 0, "fit")):
        with pytest.raises(ValueError, match=message):
            named(name)
    with pytest.raises(ValueError, match=f"name of the sweep .*{message}"):
        request_of([Path("experiments/full.yaml")], name=name)


def test_other_names_are_those_of_folders():
    for name in ("full", "table 4", "naïve", "全", "a+b=0.5", "-1", "a.b", "~", "long" * 50):
        assert checked_name(name) == name


def test_a_name_that_is_none_is_one_line(fails, tiny, tmp_path):
    for name in ("../elsewhere", "", "a\nb"):
        status, error = fails("fit", *NO_LSTE, *tiny, f"--runs={tmp_path / 'runs'}", f"--name={name}")
        assert status == 1 and error.splitlines()[-1].startswith(f"error: name {name!r} ")
    status, error = fails("fit", *NO_LSTE, *tiny, f"--runs={tmp_path / 'runs'}", "--trainer.default_root_dir=here")
    assert status == 1 and error.splitlines()[-1].startswith("error: trainer.default_root_dir cannot be set: --runs")
    assert not [*tmp_path.iterdir()]

"""Output that nobody reads or that cannot be written; and that nothing steers the terminal, whoever wrote it."""

import ast
import contextlib
import io
import logging
import multiprocessing
import os
import sys
import warnings
from pathlib import Path

import pytest
from rich.console import Console

import datamodules.printable
from ablation.sweep.display import Board, Lines, Row, drawn
from lightning_modules.cli import main
from lightning_modules.config.user_errors import user_errors
from lightning_modules.programs import PROGRAMS
from tests.lightning_modules.conftest import SMALL_STEP, TINY

ESCAPE = "\x1b[31m\u202e\x07\r"
SHOWN = r"\x1b[31m\u202e\x07\r"
STEERING = {*"\x1b\u202e\x07\r"}
PACKAGES = ("components", "datamodules", "lightning_modules", "ablation", "video_panda")


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / "config.yaml").write_text("name: a\n")
    (tmp_path / "origin.txt").write_text("line\n" * 30_000)  # more than a pipe holds
    return tmp_path


def written_to(target, work, errors):
    """Do some work in a process whose standard output is a file; returns its exit status and what it said of errors."""

    def begin():
        os.dup2(target, 1)
        sys.stdout = os.fdopen(1, "w")
        with errors.open("w") as sys.stderr:
            work()

    process = multiprocessing.get_context("fork").Process(target=begin)  # a copy of this process, with its imports
    process.start()
    process.join()
    return process.exitcode, errors.read_text()


def broken_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def by_a_library():
    with user_errors():
        print("a table")  # which is not written yet


@pytest.mark.parametrize("words", [["show", "{run}"], ["show", "--help"], ["compare", "--help"], None])
def test_output_that_nobody_reads_ends_a_program_without_a_word(words, run_folder):
    work = by_a_library if words is None else lambda: main([word.format(run=run_folder) for word in words])
    assert written_to(broken_pipe(), work, run_folder / "errors") == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["show", "{run}"], ["show", "--help"], None])
def test_output_that_cannot_be_written_is_one_line(words, run_folder):
    work = by_a_library if words is None else lambda: main([word.format(run=run_folder) for word in words])
    status, said = written_to(os.open("/dev/full", os.O_WRONLY), work, run_folder / "errors")
    assert (status, said) == (1, "error: no space left on the device for standard output\n")


# What is needed for a word too much to be what is wrong.
ODD = f"a{ESCAPE}"
NEEDED = {"compare": [ODD], "chain": [f"--config={ODD}"], "sweep": [ODD], "agreement": [ODD, ODD], "reproduce": [ODD],
          "check-data": [ODD], "judge": [ODD, "--judge=ExactMatch"], "plan": [f"--config={ODD}"], "show": [ODD],
          "profile": [f"--config={ODD}"], "import-video-chatgpt": [ODD, "--out=b", "--projection=c"]}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_error_of_the_command_line_steers_no_terminal(program, fails):
    status, error = fails(program, *NEEDED.get(program, [ODD, "--out=b"]), f"--x{ESCAPE}")
    assert status in (1, 2) and SHOWN in error and not STEERING & {*error}


def test_a_run_in_a_folder_with_an_odd_name_steers_no_terminal(clips, tmp_path, capfd):
    runs = tmp_path / f"runs{ESCAPE}"
    size = ["--config=experiments/no_lste.yaml", f"--data.root={clips}", *TINY, *SMALL_STEP]
    main(["fit", *size, "--trainer.max_steps=1", f"--runs={runs}"])
    said = capfd.readouterr()
    assert f"runs{SHOWN}" in said.out
    assert not STEERING & {*said.out}
    main(["export", str(runs / "no_lste" / "seed_0"), f"--out={tmp_path / f'out{ESCAPE}'}"])
    said = capfd.readouterr()
    bar = said.err.replace("\rWriting model shards", "")  # which is drawn by returning to its beginning
    assert f"out{SHOWN}" in said.out and not STEERING & {*said.out, *bar}


def test_logs_and_warnings_steer_no_terminal(caplog):
    with user_errors():
        warning = warnings.formatwarning(f"a clip called {ESCAPE}", UserWarning, "file.py", 1)
        logging.getLogger("lightning.pytorch.x").error("a checkpoint called %s", ESCAPE)
    assert f"a clip called {SHOWN}" in warning and not STEERING & {*warning}
    assert caplog.messages == [f"a checkpoint called {SHOWN}"]


def test_what_a_sweep_shows_steers_no_terminal(capsys):
    row = Row(f"job{ESCAPE}", 1, 2, f"loss{ESCAPE}", None, f"stage{ESCAPE}")
    Lines().say(row.job)
    assert f"job{SHOWN}" in capsys.readouterr().out
    file = io.StringIO()
    Console(file=file, width=300).print(drawn(Board([row], 0, 0, 0, None)))
    assert all(f"{word}{SHOWN}" in file.getvalue() for word in ("job", "loss", "stage"))


def test_all_that_is_printed_is_printable():
    """There is one function that prints; parsers are those that print by it."""
    for package in PACKAGES:
        for file in Path(package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                assert name not in ("print", "argparse.ArgumentParser") or file.name == "printable.py", file


def test_without_standard_error_an_error_is_only_a_status(monkeypatch):
    monkeypatch.setattr(sys, "stderr", os.fdopen(broken_pipe(), "w"))
    with pytest.raises(SystemExit, match="1"), user_errors():
        raise FileNotFoundError(2, "No such file", "a")
    with contextlib.suppress(OSError):
        sys.stderr.close()


def test_the_function_that_prints_names_what_it_cannot_write(monkeypatch):
    monkeypatch.setattr(sys, "stdout", os.fdopen(broken_pipe(), "w"))
    with pytest.raises(BrokenPipeError) as caught:
        datamodules.printable.say("a")
    assert caught.value.filename == datamodules.printable.STANDARD_OUTPUT
    with contextlib.suppress(OSError):
        sys.stdout.close()

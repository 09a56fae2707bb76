"""`video-panda reproduce` with pretended trainings, and what it says."""

import sys
from pathlib import Path

import pytest

from ablation.sweep import command as sweep_command
from ablation.sweep import runner, training
from lightning_modules.cli import main
from tests.ablation.comparing.run_folders import config

PRETENDED = str(Path(__file__).with_name("pretended_run.py"))


@pytest.fixture
def pretended(monkeypatch):
    """Let trainings take no time, and their configurations be those of the folders that they leave."""

    def configuration(job):
        settings = config(job.seed)
        settings["data"]["class_path"] = "d.ShapesInMotion"
        return settings

    monkeypatch.setattr(runner, "POLL", 0.02)
    monkeypatch.setattr(training, "command", lambda words: [sys.executable, PRETENDED, *words])
    monkeypatch.setattr(sweep_command, "configuration", configuration)
    monkeypatch.setattr(sweep_command, "steps_of", lambda jobs: ({job.id: 10 for job in jobs}, []))


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def reproduced(capsys, runs):
    """Reproduce a table; returns the exit status and what is printed."""

    def reproduce(*arguments):
        status = 0
        try:
            main(["reproduce", *map(str, arguments), f"--runs={runs}"])
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out + printed.err

    return reproduce


def cells(text, begins, table):
    """Return head -> cell of the row that begins so, in the table whose title does."""
    lines = text[text.index(table) :].splitlines()
    heads = next(line for line in lines if line.startswith("|"))
    row = next(line for line in lines if line.startswith(f"| {begins}"))
    return dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (heads, row)), strict=True))

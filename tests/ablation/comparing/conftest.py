"""Runs to compare, and what is said of them."""

import pytest

from lightning_modules.cli import main
from tests.ablation.comparing.run_folders import BAD, GOOD, config, rows, write_run


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def two(runs):
    """Two experiments, one clearly worse, that differ in one slot."""
    write_run(runs, "full", 0, rows(GOOD))
    write_run(runs, "worse", 0, rows(BAD), settings=config(local_encoding="NoLSTE"))
    return runs


@pytest.fixture
def compared(capsys):
    def compare(*arguments):
        main(["compare", *map(str, arguments)])
        return capsys.readouterr().out

    return compare


@pytest.fixture
def refused(capsys):
    def compare(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["compare", *map(str, arguments)])
        assert caught.value.code == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return compare

"""A short campaign of damaged inputs, and that a campaign notices what it is for."""

import os
import signal
import time
from random import Random

import pytest

from tests.campaign.__main__ import campaign, table
from tests.campaign.attempt import attempt
from tests.campaign.kind import FAILURES, Kind, Outcome, WrongError
from tests.campaign.kinds import KINDS

# Those that train something first, and so take longer, are tried by the whole campaign alone.
SHORT = {"video": 60, "json": 60, "judge reply": 60, "kill -9, a writer": 4}


@pytest.mark.long
@pytest.mark.parametrize("name", SHORT)
def test_no_input_fails_obscurely_or_is_silently_wrong(name, tmp_path, capsys):
    (kind,) = (kind for kind in KINDS if kind.name == name)
    counts = campaign([kind], seed=0, cases=SHORT[name], folder=tmp_path)
    assert counts[name].total() == SHORT[name]
    assert not sum(counts[name][outcome] for outcome in FAILURES), capsys.readouterr().err
    assert counts[name][Outcome.RIGHT]


class Pretended(Kind):
    """Does what it is told to."""

    name, share, seconds = "pretended", 1.0, 0.5

    def __init__(self, use):
        self.behave = use

    def prepare(self, folder):
        pass

    def damage(self, random, folder):
        return "nothing"

    def use(self, random, folder):
        return self.behave(folder)


def raising(error):
    def use(folder):
        raise error(folder) if callable(error) else error

    return use


def user_error(folder):
    from datamodules.records.media_root import MediaRoot

    MediaRoot(folder / "nowhere")


def error_that_names_nothing(folder):
    from components.positive import check_positive

    check_positive("data", frames=-1)


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (lambda folder: Outcome.RIGHT, Outcome.RIGHT),
        (user_error, Outcome.NAMED),
        (error_that_names_nothing, Outcome.TRACEBACK),
        (raising(KeyError("x")), Outcome.TRACEBACK),
        (raising(ValueError("not from our packages")), Outcome.TRACEBACK),
        (raising(SystemExit(0)), Outcome.TRACEBACK),
        (lambda folder: os.kill(os.getpid(), signal.SIGKILL), Outcome.TRACEBACK),
        (raising(WrongError("3 is not 4")), Outcome.WRONG),
        (lambda folder: time.sleep(60), Outcome.HANG),
    ],
)
def test_every_outcome_is_told_from_the_others(use, outcome, tmp_path):
    assert attempt(Pretended(use), Random(0), tmp_path / "case_0").outcome is outcome


def test_the_same_seed_makes_the_same_attempts_and_failures_are_counted(tmp_path, capsys):
    def use(folder):
        raise WrongError(folder.name)

    kind = Pretended(use)
    counts = campaign([kind], seed=1, cases=2, folder=tmp_path)
    assert counts == {"pretended": {Outcome.WRONG: 2}}
    assert table(counts).splitlines()[1].split() == ["pretended", "0", "0", "0", "0", "0", "2", "2"]
    assert "pretended 1: wrong: nothing: case_1" in capsys.readouterr().err
    assert (tmp_path / "pretended" / "case_1").is_dir()

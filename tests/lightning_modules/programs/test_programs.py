"""Programs start without what a training needs, until they need it."""

import subprocess
import sys

import pytest

from lightning_modules.cli import main
from lightning_modules.programs import PROGRAMS

LIGHT = ("compare", "show", "agreement", "judge", "sweep", "chain", "reproduce", "plan", "profile", "export",
         "experiments")  # fmt: skip
HEAVY = ("torch", "lightning", "transformers", "peft", "av", "decord")


@pytest.mark.parametrize("program", LIGHT)
def test_a_program_imports_nothing_of_a_training_before_it_is_needed(program):
    code = f"import sys, lightning_modules.cli, {PROGRAMS[program][0]}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_of_a_wheel_does_not_either():
    code = f"import sys, video_panda; video_panda.main(); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, "experiments"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_all_programs_are_there():
    for module, function in PROGRAMS.values():
        assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_a_program_that_is_none_is_named_with_the_one_that_was_meant(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compar", "runs"])
    assert ended.value.code
    error = capsys.readouterr().err
    assert "there is no program 'compar'" in error and error.rstrip().endswith("did you mean compare?")

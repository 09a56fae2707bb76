"""Running the command line in this process, at a size that takes a second."""

import logging
import warnings

import pytest
import torch

from lightning_modules.cli import main
from lightning_modules.experiment_cli import ExperimentCLI
from tests.lightning_modules.short_run import NO_LSTE, SHORT

TINY = [
    "--data.train_clips=4",
    "--data.val_questions_per_family=1",
    "--data.test_questions_per_family=1",
    "--data.turns_per_record=9",
]
SMALL_STEP = [
    "--data.batch_size=2",
    "--data.eval_batch_size=4",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def tiny(clips):
    """Arguments that make a run of two steps an epoch on generated clips."""
    return [f"--data.root={clips}", *TINY, *SMALL_STEP]


@pytest.fixture
def run(clips, tmp_path):
    """Run a verb on ShapesInMotion at toy size; returns the finished command line object."""

    def run_verb(verb, *arguments, tiny=True):
        size = [f"--data.root={clips}", *TINY] if tiny else []
        given = {argument.partition("=")[0] for argument in arguments}
        rest = [default for default in (*size, *SMALL_STEP) if default.partition("=")[0] not in given]
        return ExperimentCLI([verb, *arguments, *rest, f"--runs={tmp_path / 'runs'}"])

    return run_verb


@pytest.fixture
def finished(run):
    return run("fit", *NO_LSTE, *SHORT)


@pytest.fixture
def fails(capsys):
    """Run a command that must fail; returns its exit status and its last message."""

    def run_failing(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return caught.value.code, error

    return run_failing

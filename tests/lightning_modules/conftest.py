"""Running the command line in this process, at a size that takes a second."""

import logging
import warnings

import pytest
import torch

from lightning_modules.cli import main
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.resolve import resolve
from lightning_modules.training.trainer_options import check_trainer
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
def words(clips, tmp_path):
    """The words of a verb on ShapesInMotion at toy size."""

    def words_of(verb, *arguments, tiny=True):
        size = [f"--data.root={clips}", *TINY] if tiny else []
        given = {argument.partition("=")[0] for argument in arguments}
        rest = [default for default in (*size, *SMALL_STEP) if default.partition("=")[0] not in given]
        return [verb, *arguments, *rest, f"--runs={tmp_path / 'runs'}"]

    return words_of


@pytest.fixture
def run(words):
    """Run a verb; returns the finished command line object."""
    return lambda verb, *arguments, tiny=True: ExperimentCLI(words(verb, *arguments, tiny=tiny))


@pytest.fixture
def resolved(words):
    """Return the configuration that `run` would use."""

    def config_of(verb, *arguments, tiny=True):
        config = resolve(words(verb, *arguments, tiny=tiny)).config
        check_trainer(config.trainer)
        return config.as_dict()

    return config_of


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

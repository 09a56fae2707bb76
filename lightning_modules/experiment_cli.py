"""The verbs of Lightning: fit, validate, test, predict.

A LightningCLI with typed components from YAML (the type hint is the registry), `base:` chains, a run folder per
experiment and seed, and a test after every training.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from components.encoders import VideoEncoder
from components.stored_weights import weights_in_files
from datamodules.printable import say
from lightning_modules import callbacks
from lightning_modules.callbacks.part_report import other_encoder, parameter_difference
from lightning_modules.config.redaction import as_typed, without_secrets, words_without_secrets
from lightning_modules.config.user_errors import errors_of_threads, writing_into
from lightning_modules.experiment_parser import ExperimentArguments, ExperimentParser
from lightning_modules.programs import program_name
from lightning_modules.resolve import changes, resolve
from lightning_modules.runs.claim import claimed
from lightning_modules.runs.loggers import explained, named, run_loggers, started
from lightning_modules.runs.origin import Origin, recorded_changes
from lightning_modules.scoring.answer_store import answer_settings, continued_folder
from lightning_modules.training.accelerator import check_cuda, check_devices, use_own_device, use_tf32
from lightning_modules.training.checkpoint import WholeFileIO
from lightning_modules.training.devices import use_threads
from lightning_modules.training.init_from import begin
from lightning_modules.training.resume import resolve_checkpoint
from lightning_modules.training.trainer_options import (
    asks_deepspeed,
    building_trainer,
    check_trainer,
    strategy_name,
)


class ExperimentCLI(ExperimentArguments):
    """One experiment from YAML to a finished run."""

    def __init__(self, args: list[str] | None = None) -> None:
        """Parse `args` (default: the command line) and run the verb."""
        with ExitStack() as self.held:
            super().__init__(
                args, save_config_callback=callbacks.ConfigFile, save_config_kwargs={"save_to_log_dir": False}
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, name the run, and check `ckpt_path` before anything is built."""
        words = sys.argv[1:] if args is None else args
        self.command = as_typed([*program_name().split(), *words])
        self.experiment = resolve(words, parser)
        self.config, config = self.experiment.by_verb, self.experiment.config
        if (checkpoint := config.get("ckpt_path")) is not None:
            deepspeed, runs = asks_deepspeed(config.trainer.strategy), Path(config.runs, config.name)
            config.ckpt_path = resolve_checkpoint(checkpoint, runs, config.seed_everything, folder=deepspeed)

    def before_instantiate_classes(self) -> None:
        """Check the trainer's options and print what the experiment changes, before anything is built."""
        check_trainer(self.experiment.config.trainer)
        check_devices(self.experiment.config.trainer)
        self.changes = changes(self.experiment, self.parser)
        if lines := [f"  {line}" for line in self.changes.own]:
            say("\n".join(["", f"{self.experiment.config.name} changes:", *lines, ""]))

    def instantiate_classes(self) -> None:
        """Claim the run folder, then build model, data and trainer."""
        config, verb = self.experiment.config, self.experiment.verb
        answered = continued_folder(config.continue_answers, verb)
        self.folder = self.held.enter_context(claimed(config, verb, answered))
        self.held.enter_context(writing_into(self.folder))
        self.held.enter_context(errors_of_threads())
        if config.trainer.accelerator != "cpu":
            use_own_device(config.trainer.devices)
        sharded = strategy_name(config.trainer.strategy) == "FullySharded"
        assert isinstance(self.parser, ExperimentParser)
        self.parser.build_logger = named(self.folder)
        with explained(), weights_in_files(stay=sharded):
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return the trainer, whose default folder is the run folder, whatever its loggers are.

        The model is built by now, so the origin of the run can be given to the callbacks that record it.
        """
        options = self.config_init[self.subcommand].trainer
        loggers = run_loggers(options, self.folder)
        self.trainer_defaults["callbacks"] = self._callbacks(logged=bool(loggers))
        plugins = options.plugins or []
        plugins = [*(plugins if isinstance(plugins, list) else [plugins]), WholeFileIO()]
        with building_trainer():
            trainer = super().instantiate_trainer(
                **kwargs, default_root_dir=self.folder, logger=loggers, plugins=plugins
            )
        check_cuda(trainer.strategy.root_device, str(trainer.precision))
        use_tf32(trainer.strategy.root_device)
        with words_without_secrets():  # which W&B stores when it starts
            self.held.enter_context(started(trainer.loggers))
        if line := use_threads(self.model, trainer.strategy.root_device):
            say(f"{line}\n")
        return trainer

    def _callbacks(self, logged: bool) -> list[Callback]:
        config, verb = self.experiment.config, self.experiment.verb
        base = other_encoder(config.model.encoder.as_dict(), self.changes.base_encoder)
        self.origin = self._origin(base)
        answer_file = callbacks.AnswerFile(
            answer_settings(config), config.continue_answers is not None, can_continue=verb in ("test", "predict")
        )
        self.score_file = callbacks.ScoreFile(answer_file, self.origin)
        self.summary = callbacks.RunSummary(self.origin, self.score_file, without_secrets(config.as_dict()))
        # In this order: the answer file joins the answers, the score file scores them, the summary prints the scores.
        return [
            *callbacks.always(logged),
            callbacks.RecordLengths(test_follows=config.test_after_fit and not config.trainer.fast_dev_run),
            answer_file,
            callbacks.OriginFile(self.origin),
            callbacks.RunHistory(self.origin),
            callbacks.PartReport(base),
            self.score_file,
            self.summary,
        ]

    def _origin(self, base: VideoEncoder | None) -> Origin:
        """Load the initial weights, print what the experiment changes in size, and return the origin of the run."""
        config = self.experiment.config
        sizes = [] if base is None else parameter_difference(self.model.encoder, base)
        if base is not None:
            say("\n".join([*(f"  {line}" for line in sizes), ""]))
        training = self.experiment.verb == "fit"
        weights = begin(self.model, config.get("ckpt_path"), config.init_from, config.init_partially, training)
        return Origin(
            name=config.name,
            command=self.command,
            files=self.experiment.files,
            changes=self.changes.own or recorded_changes(self.folder),
            inherited=self.changes.inherited,
            sizes=sizes,
            weights=weights.lines,
            base_weights=weights.pretrained,
            init_from=weights.init_from,
        )

    def after_fit(self) -> None:
        """Test the trained model, so that every run ends with scores on unseen clips."""
        config = self.experiment.config
        if config.trainer.fast_dev_run:
            return
        if config.test_after_fit:
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        else:
            self.summary.log_hparams(self.trainer, self.model)
        self.summary.keep(self.trainer)
        self.say()

    def say(self) -> None:
        """Print the final figures and the run folder."""
        self.summary.say(self.trainer)

    after_validate = after_test = after_predict = say

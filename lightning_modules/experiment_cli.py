"""The verbs of Lightning: fit, validate, test, predict.

A LightningCLI with typed components from YAML (the type hint is the registry), `base:` chains, a run folder named after
the experiment, and a test after every training.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, set_parsing_settings
from lightning import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import datamodules.conversations
import datamodules.mixed_conversations
import datamodules.shapes_in_motion.datamodule
import datamodules.video_qa  # noqa: F401  (imported so that YAML can use bare class names)
from datamodules.printable import say
from datamodules.video_text import VideoTextDataModule
from lightning_modules import callbacks
from lightning_modules.callbacks.part_report import parameter_difference, without_memory
from lightning_modules.config.chain import given_files
from lightning_modules.config.changes import changes
from lightning_modules.config.redaction import as_typed
from lightning_modules.config.resolve import ExperimentParser, parsed_experiment
from lightning_modules.config.user_errors import errors_of_threads, writing_into
from lightning_modules.programs import PROGRAMS, program_name
from lightning_modules.runs.claim import claimed
from lightning_modules.runs.folder import checked_name
from lightning_modules.runs.loggers import explained, run_loggers, start
from lightning_modules.runs.provenance import base_weights, untrained_groups
from lightning_modules.scoring.answer_store import asked_by
from lightning_modules.training.checkpoint import LAST, WholeFileIO, check_checkpoint, named_checkpoint
from lightning_modules.training.devices import use_threads
from lightning_modules.training.init_from import by_module, init_from
from lightning_modules.training.resume import check_resumable
from lightning_modules.training.trainer_options import asks_deepspeed, building_trainer, check_trainer
from lightning_modules.video_language import VideoLanguageModel


class ExperimentCLI(LightningCLI):
    """One experiment from YAML to a finished run."""

    def __init__(self, args: list[str] | None = None) -> None:
        """Parse `args` (default: the command line) and run the verb."""
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        self.origin = callbacks.Origin()
        self.answer_file = callbacks.AnswerFile()
        self.score_file = callbacks.ScoreFile(self.answer_file, self.origin)
        self.parts = callbacks.PartReport()
        self.lengths = callbacks.RecordLengths()
        self.base_encoder: dict[str, Any] | None = None
        self.summary = callbacks.RunSummary(self.origin, self.score_file)
        with ExitStack() as self.held:
            self._run(args)

    def _run(self, args: list[str] | None) -> None:
        super().__init__(
            VideoLanguageModel,
            VideoTextDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            parser_class=ExperimentParser,
            parser_kwargs={"prog": program_name(), "parser_mode": "omegaconf+"}
            | {"epilog": f"Further programs, with --help of their own: {', '.join(PROGRAMS)}."}
            | {verb: {"parser_mode": "omegaconf+"} for verb in self.subcommands()},
            save_config_callback=callbacks.ConfigFile,
            save_config_kwargs={"save_to_log_dir": False},
            # In this order: scores are of what the answer file has joined, and the summary says them.
            trainer_defaults={
                "callbacks": [
                    *callbacks.always(),
                    self.lengths,
                    self.answer_file,
                    self.origin,
                    callbacks.RunHistory(self.origin),
                    self.parts,
                    self.score_file,
                    self.summary,
                ]
            },
            auto_configure_optimizers=False,  # rates belong to the stage
            load_from_checkpoint_support=False,  # a checkpoint must never override the YAML's components
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to the run rather than to model, data or trainer."""
        parser.add_argument("--base", type=str | list[str] | None, help="files that a config file builds on")
        parser.add_argument("--at_scale", type=dict[str, Any] | None, help="what a config file sets at one scale alone")
        parser.add_argument("--name", type=str | None, help="name of the run; default: the config files' names")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument("--test_after_fit", type=bool, default=True, help="whether a training ends with a test")
        parser.add_argument(
            "--continue_answers", type=str | None, help="folder of a test or prediction that was killed"
        )
        parser.add_argument("--init_from", type=str | None, help="checkpoint of another run, to start from its weights")
        parser.add_argument("--init_partially", type=bool, default=False, help="take from init_from what fits")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=seed_number)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, name the run, and refuse a checkpoint that is none before anything is built."""
        words = sys.argv[1:] if args is None else args
        self.origin.command = as_typed([*program_name().split(), *words])
        self.config, self.files = parsed_experiment(parser, words)
        verb = self.config.subcommand
        config = self.config[verb]
        for part in ("model", "trainer"):
            if not isinstance(config[part], Namespace):
                raise ValueError(f"{part} is {config[part]!r}; it must be a mapping of settings")
        deepspeed = asks_deepspeed(config.trainer.strategy)
        self.given = given_files(self.files)
        config.base = config.at_scale = None  # followed by now
        default = "+".join(file.stem for file in self.given) or "unnamed"
        config.name = checked_name(default if config.name is None else config.name)
        checkpoint = config.get("ckpt_path")
        if checkpoint is not None:
            experiment = Path(config.runs, config.name)
            config.ckpt_path = str(named_checkpoint(checkpoint, experiment, config.seed_everything))
            if checkpoint == LAST:
                say(f"ckpt_path last is {config.ckpt_path}")
            check_checkpoint(config.ckpt_path, folder=deepspeed)

    def before_instantiate_classes(self) -> None:
        """Say what the experiment changes, before it is built."""
        check_trainer(self.config[self.subcommand].trainer)
        self.origin.name, self.origin.files = self.config[self.subcommand].name, self.files
        self.origin.changes = lines = self.changes()
        config = self.config[self.subcommand]
        self.answer_file.asked_by = asked_by(config)
        self.answer_file.must_continue = config.continue_answers is not None
        self.answer_file.can_continue = self.subcommand in ("test", "predict")
        if lines:
            say("\n".join(["", f"{self.config[self.subcommand].name} changes:", *(f"  {line}" for line in lines), ""]))

    def changes(self) -> list[str]:
        """Return how the configuration differs from what the named files build on, at the same scale."""
        found = changes(self.parser, self.config, self.origin.files, self.given)
        self.base_encoder, self.origin.inherited = found.base_encoder, found.inherited
        return found.own

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, of a run whose folder no other one uses meanwhile."""
        self.folder = self.held.enter_context(claimed(self.config[self.subcommand], str(self.subcommand)))
        self.held.enter_context(writing_into(self.folder))
        self.held.enter_context(errors_of_threads())
        with explained():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return the trainer, whose default folder is that of the run, whatever its loggers are."""
        loggers = run_loggers(self.config_init[self.subcommand].trainer, self.folder)
        if not loggers:  # Lightning's monitor insists on one
            usual = self.trainer_defaults["callbacks"]
            self.trainer_defaults["callbacks"] = [each for each in usual if not isinstance(each, LearningRateMonitor)]
        asked = self.config_init[self.subcommand].trainer.plugins or []
        plugins = [*(asked if isinstance(asked, list) else [asked]), WholeFileIO()]
        with building_trainer():
            trainer = super().instantiate_trainer(
                **kwargs, default_root_dir=self.folder, logger=loggers, plugins=plugins
            )
        start(trainer.loggers)
        return trainer

    def initialize(self) -> None:
        """Say what the experiment changes in size; take the weights of `init_from`, and say which and which not.

        A run that is continued has its own weights, which must be of this model before its config.yaml is written anew.
        """
        config = self.config[self.subcommand]
        self.lengths.test_follows = config.get("test_after_fit", False) and not config.trainer.fast_dev_run
        if threads := use_threads(self.model, self.trainer.strategy.root_device):
            say(f"{threads}\n")
        checkpoint = config.get("ckpt_path")
        if checkpoint is not None and Path(checkpoint).is_file():
            check_resumable(self.model, Path(checkpoint), training=self.subcommand == "fit")
        if self.base_encoder not in (None, config.model.encoder.as_dict()):
            self.parts.base = without_memory(self.base_encoder)
            self.origin.sizes = parameter_difference(self.model.encoder, self.parts.base)
            say("\n".join([*(f"  {line}" for line in self.origin.sizes), ""]))
        self.origin.base_weights = base_weights(self.model)
        left_aside = self.model.language_model.left_aside
        if left_aside:
            what = ", ".join(by_module(left_aside))
            self.origin.weights = [f"not used, stored with the language model: {len(left_aside)} tensors: {what}"]
            say(self.origin.weights[0], end="\n\n")
        if checkpoint is None and config.init_from is None and self.subcommand != "fit":
            fresh = untrained_groups(self.model)
            if fresh:
                self.origin.weights = [*self.origin.weights, f"random weights, of no training: {', '.join(fresh)}"]
                say(f"{self.origin.weights[-1]}; ckpt_path or init_from names trained ones", end="\n\n")
        if config.init_from is None:
            return
        if checkpoint is not None:
            lines = [f"not read: ckpt_path {checkpoint} has the weights of this run"]
        else:
            report = init_from(self.model, config.init_from, config.init_partially)
            self.origin.init_from = {"path": str(config.init_from), "sampled_sha256": report.sampled_sha256}
            lines = report.lines()
        said = [f"init_from {config.init_from}", *(f"  {line}" for line in lines)]
        self.origin.weights = [*self.origin.weights, *said]
        say("\n".join(said), end="\n\n")

    before_fit = before_validate = before_test = before_predict = initialize

    def after_fit(self) -> None:
        """Test the trained model, so that every run ends with figures on unseen clips."""
        if self.config.fit.trainer.fast_dev_run:
            return
        if self.config.fit.test_after_fit:
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        else:
            self.summary.log_hparams(self.trainer, self.model)
        self.summary.keep(self.trainer)
        self.say()

    def say(self) -> None:
        """Close with the figures, and where the answers are."""
        self.summary.say(self.trainer)

    after_validate = after_test = after_predict = say


def seed_number(seed: bool | int) -> int:
    """Return the seed of the run, which names its folder and orders its data.

    Raises:
        ValueError: it is true or false, which stand for a random one or none in Lightning.
    """
    if isinstance(seed, bool):
        raise ValueError(f"seed_everything is {str(seed).lower()}; it must be a number, to repeat the run by")
    return seed

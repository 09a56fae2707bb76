"""The parser of the command line and of config files: the verbs, their arguments, and clearer messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from omegaconf.errors import OmegaConfBaseException

# Imported so that YAML can use bare class names.
import datamodules.conversations
import datamodules.shapes_in_motion.datamodule
import datamodules.video_qa  # noqa: F401
import lightning_modules.callbacks  # noqa: F401
from components.registry import slots
from datamodules.benchmarks import Benchmark
from datamodules.printable import printable
from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import read_config, replace_here
from lightning_modules.config.known_names import explain, explain_interpolation
from lightning_modules.config.user_errors import CommandLineError
from lightning_modules.programs import PROGRAMS, program_name
from lightning_modules.scoring.metrics import Metric
from lightning_modules.video_language import VideoLanguageModel


class ExperimentParser(LightningArgumentParser):
    """Replaces `${here}` in config files, raises errors instead of exiting, and makes their messages clearer.

    Attributes:
        build_logger: how loggers are built: it is given the class and the arguments.
    """

    build_logger: Callable[..., Logger] | None = None

    def instantiate(self, *args: Any, **kwargs: Any) -> Namespace:
        """Build the parts that are named in a configuration."""
        if self.build_logger is not None:
            kwargs["instantiators"] = [(self.build_logger, Logger, True)]
        built: Namespace = super().instantiate(*args, **kwargs)
        return built

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        """Parse a config file."""
        file = Path(path)
        content = read_config(file)
        resolved = replace_here(content, file.absolute().parent)
        parsed: Namespace = (
            super().parse_path(path, *args, **kwargs)
            if resolved == content and any(value is not None for value in content.values())
            else self.parse_string(yaml.safe_dump(resolved), file.name, *args, **kwargs)
        )
        return parsed

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line, or the part of it after the verb, and resolve interpolations.

        Raises:
            CommandLineError: an argument or a setting of a file is refused.
        """
        try:
            parsed: Namespace = super().parse_args(*args, **kwargs)
        except OmegaConfBaseException as error:
            self.error(explain_interpolation(error, LightningCLI.subcommands()), error)
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `message`, in a clearer form where there is one.

        Raises:
            CommandLineError: always; one that the parser of a verb has raised is raised again as it is.
        """
        if isinstance(ex, CommandLineError):
            raise ex
        parser = getattr(ex, "subcommand_parser", None) or self
        program = parser.prog.replace(" [options]", "")
        raise CommandLineError(printable(explain(message, _families())), program) from ex


def _families() -> dict[str, type]:
    """Return slot -> family of the classes that can be named in it."""
    families = {**slots(VideoLanguageModel), **slots(VideoTextDataModule), **slots(Benchmark)}
    return families | {"data": VideoTextDataModule, "metrics": Metric, "callbacks": Callback, "logger": Logger}


class ExperimentArguments(LightningCLI):
    """The verbs and their arguments; a subclass runs them."""

    def __init__(self, args: list[str] | None = None, **options: Any) -> None:
        """Build the parser and parse `args`; default: the command line."""
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        super().__init__(
            VideoLanguageModel,
            VideoTextDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            parser_class=ExperimentParser,
            parser_kwargs={"prog": program_name(), "parser_mode": "omegaconf+"}
            | {"epilog": f"Further programs, with --help of their own: {', '.join(PROGRAMS)}."}
            | {verb: {"parser_mode": "omegaconf+"} for verb in self.subcommands()},
            auto_configure_optimizers=False,  # learning rates belong to the stage
            load_from_checkpoint_support=False,  # a checkpoint must never override the YAML's components
            args=args,
            **options,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of the run that belong to neither model, data nor trainer."""
        parser.add_argument("--base", type=str | list[str] | None, help="files that a config file builds on")
        parser.add_argument(
            "--at_scale", type=dict[str, Any] | None, help="settings of a config file for one scale alone"
        )
        parser.add_argument("--name", type=str | None, help="name of the run; default: the config files' names")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument("--test_after_fit", type=bool, default=True, help="whether a training ends with a test")
        parser.add_argument(
            "--continue_answers", type=str | None, help="folder of a test or prediction that was killed"
        )
        parser.add_argument("--init_from", type=str | None, help="checkpoint of another run, to start from its weights")
        parser.add_argument("--init_partially", type=bool, default=False, help="take from init_from what fits")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=seed_number)


def seed_number(seed: bool | int) -> int:
    """Return the seed of the run, which names its folder and orders its data.

    Raises:
        ValueError: it is true or false, with which Lightning draws a random seed or sets none.
    """
    if isinstance(seed, bool):
        raise ValueError(f"seed_everything is {str(seed).lower()}; it must be a number, to repeat the run by")
    return seed


class _ParserAlone(ExperimentArguments):
    """Builds the parser but parses nothing, so that nothing is seeded, built or run."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = Namespace(subcommand=None, seed_everything=False)

    def instantiate_classes(self) -> None:
        pass


@cache
def experiment_parser() -> LightningArgumentParser:
    """Return the parser of the command line, which is built once, since parsing does not change it."""
    return _ParserAlone().parser

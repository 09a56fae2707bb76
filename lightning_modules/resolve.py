"""From the words of a command line to the configuration of an experiment, in which no key of a file is lost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from omegaconf.errors import OmegaConfBaseException

# Imported so that YAML can use bare class names.
import datamodules.conversations
import datamodules.mixed_conversations
import datamodules.shapes_in_motion.datamodule
import datamodules.video_qa  # noqa: F401
import lightning_modules.callbacks  # noqa: F401
from datamodules.printable import printable
from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import (
    ConfigChainError,
    config_files,
    given_files,
    in_its_place,
    mappings_in,
    read_config,
    settings_in,
    with_bases,
)
from lightning_modules.config.known_names import explain, explain_interpolation
from lightning_modules.config.parsed_settings import check_settings, lost_keys
from lightning_modules.config.user_errors import CommandLineError
from lightning_modules.programs import PROGRAMS, program_name
from lightning_modules.runs.folder import checked_name
from lightning_modules.video_language import VideoLanguageModel

# Imported so that YAML can use bare class names.


@dataclass(frozen=True)
class Experiment:
    """What a command line asks for.

    Attributes:
        verb: `fit`, `validate`, `test` or `predict`.
        by_verb: configuration as the parser has it, under the verb.
        files: config files, the most basic first.
        given: those of them that the user named.
    """

    verb: str
    by_verb: Namespace
    files: list[Path]
    given: list[Path]

    @property
    def config(self) -> Namespace:
        """The configuration, with defaults filled in."""
        config: Namespace = self.by_verb[self.verb]
        return config


def resolve(words: Sequence[str], parser: LightningArgumentParser | None = None) -> Experiment:
    """Return what a verb would use; nothing is seeded, built or written.

    Args:
        words: of the command line, the verb first.
        parser: of the command line; default: that of `experiment_parser`.

    Raises:
        CommandLineError: the parser does not understand a word, or what a file sets.
        ConfigChainError: a file or chain of bases that does not work, or a key that would be lost.
        ValueError: a setting is null, or a plain value, that must not be; or no run can be called by the name.
    """
    flags = mappings_in(words)
    by_verb = (parser or experiment_parser()).parse_args(with_bases(words))
    files = config_files(words)
    config = by_verb[by_verb.subcommand]
    settings = config.as_dict()
    if settings["trainer"] is None:
        raise ConfigChainError("trainer is null; it must be a mapping such as `max_epochs: 3`, or not be there")
    for place, content in [*settings_in(files), *flags]:
        if lost := lost_keys(content, settings):
            raise ConfigChainError(f"{place}: unknown key {', '.join(lost)}, with nothing in it")
    for part, kind in {"model": VideoLanguageModel, "data": VideoTextDataModule, "trainer": Trainer}.items():
        check_settings(kind, settings[part], part)
    for part in ("model", "trainer"):
        if not isinstance(config[part], Namespace):
            raise ValueError(f"{part} is {config[part]!r}; it must be a mapping of settings")
    given = given_files(files)
    config.base = config.at_scale = None  # followed by now
    default = "+".join(file.stem for file in given) or "unnamed"
    config.name = checked_name(default if config.name is None else config.name)
    return Experiment(by_verb.subcommand, by_verb, files, given)


class ExperimentParser(LightningArgumentParser):
    """A parser that knows `${here}` in files and raises what it refuses; of an unknown component it lists the known."""

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        """Read a config file."""
        file = Path(path)
        content = read_config(file)
        placed = in_its_place(content, file.absolute().parent)
        parsed: Namespace = (
            super().parse_path(path, *args, **kwargs)
            if placed == content and any(value is not None for value in content.values())
            else self.parse_string(yaml.safe_dump(placed), file.name, *args, **kwargs)
        )
        return parsed

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line, or what of it belongs to a verb, and resolve what settings take from others.

        Raises:
            CommandLineError: a word, or what a file sets, is not understood.
        """
        try:
            parsed: Namespace = super().parse_args(*args, **kwargs)
        except OmegaConfBaseException as error:
            self.error(explain_interpolation(error, LightningCLI.subcommands()), error)
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `message`, made plainer where we can.

        Raises:
            CommandLineError: always; that of the parser of a verb goes through that of all verbs as it is.
        """
        if isinstance(ex, CommandLineError):
            raise ex
        parser = getattr(ex, "subcommand_parser", None) or self
        program = parser.prog.replace(" [options]", "")
        raise CommandLineError(printable(explain(message)), program) from ex


class ExperimentArguments(LightningCLI):
    """The verbs and their arguments; a subclass says what is done with them."""

    def __init__(self, args: list[str] | None = None, **options: Any) -> None:
        """Make the parser and parse `args`; default: the command line."""
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
            auto_configure_optimizers=False,  # rates belong to the stage
            load_from_checkpoint_support=False,  # a checkpoint must never override the YAML's components
            args=args,
            **options,
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


def seed_number(seed: bool | int) -> int:
    """Return the seed of the run, which names its folder and orders its data.

    Raises:
        ValueError: it is true or false, which stand for a random one or none in Lightning.
    """
    if isinstance(seed, bool):
        raise ValueError(f"seed_everything is {str(seed).lower()}; it must be a number, to repeat the run by")
    return seed


class _ParserAlone(ExperimentArguments):
    """Parses nothing, so that no verb is run, and nothing is seeded or built."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = Namespace(subcommand=None, seed_everything=False)

    def instantiate_classes(self) -> None:
        pass


@cache
def experiment_parser() -> LightningArgumentParser:
    """Return the parser of the command line, made once; parsing leaves it as it was."""
    return _ParserAlone().parser

"""From the words of a command line to the configuration of an experiment, in which no key of a file is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import (
    ConfigChainError,
    config_files,
    given_files,
    mappings_in,
    settings_in,
    with_bases,
)
from lightning_modules.config.parsed_settings import check_settings, lost_keys
from lightning_modules.config.parser import experiment_parser
from lightning_modules.runs.folder import checked_name
from lightning_modules.video_language import VideoLanguageModel


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

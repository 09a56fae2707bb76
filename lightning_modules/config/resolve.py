"""From the words of a command line to the configuration of an experiment, in which no key of a file is lost."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from omegaconf.errors import OmegaConfBaseException

from datamodules.printable import printable
from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import (
    ConfigChainError,
    config_files,
    in_its_place,
    mappings_in,
    read_config,
    settings_in,
    with_bases,
)
from lightning_modules.config.difference import flat
from lightning_modules.config.known_names import explain, explain_interpolation
from lightning_modules.config.parsed_settings import check_settings
from lightning_modules.video_language import VideoLanguageModel


class ExperimentParser(LightningArgumentParser):
    """A parser whose message for an unknown component lists the known ones, and which knows `${here}` in files."""

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
        """Parse a command line, and resolve what settings take from others."""
        try:
            parsed: Namespace = super().parse_args(*args, **kwargs)
        except OmegaConfBaseException as error:
            self.error(explain_interpolation(error, LightningCLI.subcommands()), error)
        return parsed

    def print_usage(self, file: Any = None) -> None:
        """Print nothing: a hundred lines of options would hide the message below them, and `--help` has them."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        """Print `message`, made plainer where we can, and exit with status 2."""
        super().error(printable(explain(message)), ex)


def parsed_experiment(parser: LightningArgumentParser, words: Sequence[str]) -> tuple[Namespace, list[Path]]:
    """Return the configuration by verb, and the config files of the run, the most basic first.

    Raises:
        ConfigChainError: a file or chain of bases that does not work, or a key that would be lost.
        ValueError: a setting is null, or a plain value, that must not be.
    """
    flags = mappings_in(words)
    config: Namespace = parser.parse_args(with_bases(words))
    files = config_files(words)
    ours = config[config.subcommand].as_dict()
    if ours["trainer"] is None:
        raise ConfigChainError("trainer is null; it must be a mapping such as `max_epochs: 3`, or not be there")
    for place, content in [*settings_in(files), *flags]:
        lost = lost_keys(content, ours)
        if lost:
            raise ConfigChainError(f"{place}: unknown key {', '.join(lost)}, with nothing in it")
    for part, kind in {"model": VideoLanguageModel, "data": VideoTextDataModule, "trainer": Trainer}.items():
        check_settings(kind, ours[part], part)
    return config, files


def lost_keys(content: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a file that have nothing but empty mappings under them and are not in what was parsed.

    The parser refuses unknown keys by their values, and finds none there.

    Args:
        content: of the file, or of a part of it.
        config: what all files and flags have become. Below a class that has taken the place of the file's, nothing is
            compared.
    """
    if "class_path" in config and not {"class_path", "init_args"} & content.keys():
        config = config.get("init_args") or {}
    called = [str(part.get("class_path", "")).rpartition(".")[2] for part in (content, config)]
    if all(called) and called[0] != called[1]:
        return []
    lost = []
    for key, value in content.items():
        there = config.get(key.removesuffix("+"))
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            lost += [f"{key}.{below}" for below in lost_keys(value, there)]
        elif isinstance(value, list) and isinstance(there, list):
            lost += [f"{key}.{below}" for item in value for below in _lost_in_all(item, there)]
        elif isinstance(value, Mapping) and not flat(value) and key.removesuffix("+") not in config:
            lost.append(key)
    return lost


def _lost_in_all(item: Any, there: list[Any]) -> list[str]:
    if not isinstance(item, Mapping):
        return []
    each = [lost_keys(item, other) for other in there if isinstance(other, Mapping)]
    return min(each, key=len, default=[])

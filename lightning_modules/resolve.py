"""From a command line or files to an experiment: its configuration, what that changes, and its built parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import (
    ConfigChainError,
    config_chain,
    config_files,
    given_files,
    is_general,
    is_scale,
    mappings_in,
    settings_in,
    with_bases,
)
from lightning_modules.config.difference import difference
from lightning_modules.config.parsed_settings import check_settings, lost_keys
from lightning_modules.config.user_errors import CommandLineError
from lightning_modules.experiment_parser import experiment_parser
from lightning_modules.runs.folder import checked_name
from lightning_modules.training.stage import Stage
from lightning_modules.video_language import VideoLanguageModel

PAPER = "configs/scale/paper.yaml"
_A_LONG_CLIP = 100_000  # frames, enough for the maximum of any sampler


@dataclass(frozen=True)
class Experiment:
    """A parsed command line, whose parts can be built without a Trainer.

    Attributes:
        verb: `fit`, `validate`, `test` or `predict`.
        by_verb: result of the parser: the configuration under its verb.
        files: config files, the most basic first.
        own_files: config files that no other one builds on, usually those that the user named.
    """

    verb: str
    by_verb: Namespace
    files: list[Path]
    own_files: list[Path]

    @property
    def config(self) -> Namespace:
        """The configuration, with defaults filled in."""
        config: Namespace = self.by_verb[self.verb]
        return config

    @property
    def data(self) -> Namespace:
        """Settings of the data module."""
        settings: Namespace = self.config.data.init_args
        return settings

    @property
    def scale(self) -> str:
        """Name of the scale that decides; `given` where the files build on none."""
        return next((file.stem for file in reversed(self.files) if is_scale(file)), "given")

    def model(self) -> VideoLanguageModel:
        """Build the model."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(VideoLanguageModel, "model")
        model: VideoLanguageModel = parser.instantiate(parser.parse_object({"model": self._plain("model")})).model
        return model

    def model_on_meta(self) -> VideoLanguageModel:
        """Build the model on the meta device, without memory or weight files, for its sizes."""
        with torch.device("meta"):
            return self.model()

    def data_module(self) -> VideoTextDataModule:
        """Build the data module, which does not read any data yet."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(VideoTextDataModule, "data")
        data: VideoTextDataModule = parser.instantiate(parser.parse_object({"data": self._plain("data")})).data
        return data

    def stage(self) -> Stage:
        """Build the training stage."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(Stage, "stage")
        stage: Stage = parser.instantiate(parser.parse_object({"stage": self._plain("model")["stage"]})).stage
        return stage

    def frames(self) -> int:
        """Return the number of frames that are sampled from a long clip."""
        return len(self.data_module().sampler.indices(_A_LONG_CLIP, 25.0))

    def _plain(self, part: str) -> dict[str, Any]:
        plain: dict[str, Any] = self.config[part].as_dict()
        return plain


def resolve(words: Sequence[str], parser: LightningArgumentParser | None = None) -> Experiment:
    """Return the experiment of a command line; nothing is seeded, built or written.

    Args:
        words: arguments of the command line, the verb first.
        parser: parser of the command line; default: `experiment_parser()`.

    Raises:
        CommandLineError: the parser refuses an argument or a setting of a file.
        ConfigChainError: a file or its chain of bases is unusable, or a key would be lost.
        ValueError: a setting is null or a plain value where it must not be, or the name of the run is not valid.
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
    own_files = given_files(files)
    config.base = config.at_scale = None  # already followed
    default = "+".join(file.stem for file in own_files) or "unnamed"
    config.name = checked_name(default if config.name is None else config.name)
    return Experiment(by_verb.subcommand, by_verb, files, own_files)


def resolve_files(configs: Sequence[str], settings: Sequence[str] = ()) -> Experiment:
    """Return the experiment that `fit` would train with these config files and flags.

    Raises:
        ValueError: as `resolve`; or CommandLineError.
    """
    return resolve(["fit", *(f"--config={file}" for file in configs), *settings])


def resolve_at_paper_scale(configs: Sequence[str], settings: Sequence[str] = ()) -> Experiment:
    """Return the experiment that `fit` would train, but at the paper's scale unless `configs` names a scale.

    The paper's scale replaces the one that the files build on; their own settings still override it. Files that build
    on no scale are resolved as they are.

    Args:
        configs: config files, the experiment first.
        settings: flags of `fit`.

    Raises:
        ValueError: as `resolve`; or CommandLineError.
    """
    chains = [config_chain(file) for file in configs]
    named = any(is_scale(chain[-1]) for chain in chains)
    if named or not any(is_scale(file) for chain in chains for file in chain):
        return resolve_files(configs, settings)
    files = dict.fromkeys(str(file) for chain in chains for file in _over_scale(chain))
    return resolve_files([PAPER, *files], settings)


def _over_scale(chain: Sequence[Path]) -> Sequence[Path]:
    """Return the files of a chain that override its scale, or would override one if it has none."""
    places = [place for place, file in enumerate(chain) if is_scale(file)]
    if places:
        return chain[places[-1] + 1 :]
    return [*(file for file in chain[:-1] if not is_general(file)), chain[-1]]


@dataclass(frozen=True)
class Changes:
    """Changes of an experiment, one line each; none if it has no bases, or these are incomplete by themselves.

    Attributes:
        own: differences of the experiment from the files that it builds on.
        inherited: differences of these from the first experiment among them.
        base_encoder: configuration of the encoder in the files that the experiment builds on.
    """

    own: Sequence[str] = ()
    inherited: Sequence[str] = ()
    base_encoder: Mapping[str, Any] | None = None


def changes(experiment: Experiment, parser: LightningArgumentParser) -> Changes:
    """Return how the files that the user named differ from those that they build on, at the same scale."""
    own = [file for file in experiment.own_files if not is_scale(file)] or experiment.own_files
    bases = [file for file in experiment.files if file not in own]
    base = _of_files(bases, experiment, parser) if bases else None
    if base is None:
        return Changes()
    experiments = [file for file in bases if not is_general(file)]
    first = [file for file in bases if file not in experiments[1:]]
    origin = _of_files(first, experiment, parser) if first != bases else None
    inherited = [] if origin is None else _differences(base, origin)
    return Changes(_differences(experiment.config, base), inherited, base.model.encoder.as_dict())


def _of_files(files: Sequence[Path], experiment: Experiment, parser: LightningArgumentParser) -> Namespace | None:
    """Return the configuration of these files only; None if it is incomplete."""
    verb = experiment.verb
    seed = f"--seed_everything={experiment.config.seed_everything}"  # another seed is not another experiment
    words = with_bases([verb, *(f"--config={file}" for file in files), seed])
    try:
        config: Namespace = parser.parse_args(words)[verb]
    except CommandLineError:
        return None
    return config


def _differences(ours: Namespace, base: Namespace) -> list[str]:
    return [
        line
        for part in ("model", "data", "trainer")
        for line in difference({part: ours[part].as_dict()}, {part: base[part].as_dict()})
        if not line.startswith("trainer.logger")  # changes nothing, and may have secrets in it
    ]

"""The configuration that a training would have, without the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from datamodules.video_text import VideoTextDataModule
from lightning_modules.cli import ExperimentCLI
from lightning_modules.config_chain import config_chain, is_scale
from lightning_modules.stage import Stage
from lightning_modules.video_language import VideoLanguageModel

PAPER = "configs/scale/paper.yaml"
_A_LONG_CLIP = 100_000  # frames: of which a sampler takes as many as it ever does


class _ResolvedError(Exception):
    """Carries the configuration out of a command line that is not to be run."""


class _ResolveOnly(ExperimentCLI):
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        raise _ResolvedError(self.config.fit)


@dataclass(frozen=True)
class Resolved:
    """A configuration as `fit` would use it.

    Attributes:
        name: of the run that it would be.
        scale: name of the scale that decides.
        config: the configuration, with defaults filled in.
    """

    name: str
    scale: str
    config: Namespace

    def model(self) -> VideoLanguageModel:
        """Build the model."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(VideoLanguageModel, "model")
        model: VideoLanguageModel = parser.instantiate(parser.parse_object({"model": self._plain("model")})).model
        return model

    def model_on_meta(self) -> VideoLanguageModel:
        """Build the model for its sizes alone: no memory, no files of weights."""
        with torch.device("meta"):
            return self.model()

    def data_module(self) -> VideoTextDataModule:
        """Build the data module, which has read nothing yet."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(VideoTextDataModule, "data")
        data: VideoTextDataModule = parser.instantiate(parser.parse_object({"data": self._plain("data")})).data
        return data

    def stage(self) -> Stage:
        """Return the training stage."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(Stage, "stage")
        stage: Stage = parser.instantiate(parser.parse_object({"stage": self._plain("model")["stage"]})).stage
        return stage

    def frames(self) -> int:
        """Return how many frames a long clip gives."""
        return len(self.data_module().sampler.indices(_A_LONG_CLIP, 25.0))

    @property
    def data(self) -> Namespace:
        """Settings of the data module."""
        settings: Namespace = self.config.data.init_args
        return settings

    def _plain(self, part: str) -> dict[str, Any]:
        plain: dict[str, Any] = self.config[part].as_dict()
        return plain


def resolve(configs: Sequence[str], settings: Sequence[str] = ()) -> Resolved:
    """Resolve config files and flags as `fit` does; at the paper's scale where no file names another.

    Args:
        configs: config files, the experiment first.
        settings: flags of `fit`.

    Raises:
        ValueError: no such file, or a chain of bases that does not work.
    """
    scales = [Path(file) for file in configs if is_scale(Path(file))]
    files = [*configs] if scales else [configs[0], PAPER, *configs[1:]]
    scale = scales[-1] if scales else Path(PAPER)
    config_chain(scale)  # says so if it does not exist
    return Resolved(Path(configs[0]).stem, scale.stem, _configuration(files, settings))


def resolve_as_given(configs: Sequence[str], settings: Sequence[str] = ()) -> Resolved:
    """Resolve config files and flags as `fit` does, at the scale that they have.

    Args:
        configs: config files.
        settings: flags of `fit`.

    Raises:
        ValueError: no such file, or a chain of bases that does not work.
    """
    config = _configuration(configs, settings)
    return Resolved(config.name, "given", config)


def _configuration(configs: Sequence[str], settings: Sequence[str]) -> Namespace:
    try:
        _ResolveOnly(["fit", *(f"--config={file}" for file in configs), *settings])
    except _ResolvedError as resolved:
        config: Namespace = resolved.args[0]
        return config
    raise AssertionError("unreachable: the command line ends before it builds anything")

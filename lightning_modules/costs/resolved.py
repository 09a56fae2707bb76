"""The configuration that a training would have, without the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from datamodules.video_text import VideoTextDataModule
from lightning_modules.config.chain import config_chain, is_general, is_scale
from lightning_modules.resolve import resolve as resolve_words
from lightning_modules.training.stage import Stage
from lightning_modules.video_language import VideoLanguageModel

PAPER = "configs/scale/paper.yaml"
_A_LONG_CLIP = 100_000  # frames: of which a sampler takes as many as it ever does


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
    """Resolve config files and flags as `fit` does; at the paper's scale where files only build on another.

    It stands in the place of the one that they build on, so that what they set over that one stays theirs. Where none
    is named or built on, the files are taken as they are.

    Args:
        configs: config files, the experiment first.
        settings: flags of `fit`.

    Raises:
        ValueError: no such file, or a chain of bases that does not work.
    """
    name, chains = Path(configs[0]).stem, [config_chain(file) for file in configs]
    named = [chain[-1] for chain in chains if is_scale(chain[-1])]
    if named:
        return Resolved(name, named[-1].stem, _configuration(configs, settings))
    if not any(is_scale(file) for chain in chains for file in chain):
        return Resolved(name, "given", _configuration(configs, settings))
    files = dict.fromkeys(str(file) for chain in chains for file in _over_scale(chain))
    return Resolved(name, Path(PAPER).stem, _configuration([PAPER, *files], settings))


def _over_scale(chain: Sequence[Path]) -> Sequence[Path]:
    """Return the files of a chain that stand over its scale; of one without, those that would stand over any."""
    places = [place for place, file in enumerate(chain) if is_scale(file)]
    if places:
        return chain[places[-1] + 1 :]
    return [*(file for file in chain[:-1] if not is_general(file)), chain[-1]]


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
    return resolve_words(["fit", *(f"--config={file}" for file in configs), *settings]).config

"""The configuration of a training, and the parts that can be built from it without a Trainer."""

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
_A_LONG_CLIP = 100_000  # frames, enough for the maximum of any sampler


@dataclass(frozen=True)
class Resolved:
    """A configuration as `fit` would use it.

    Attributes:
        name: name of the experiment.
        scale: name of the scale; `given` if it was not chosen here.
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
        """Return the training stage."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(Stage, "stage")
        stage: Stage = parser.instantiate(parser.parse_object({"stage": self._plain("model")["stage"]})).stage
        return stage

    def frames(self) -> int:
        """Return the number of frames that are sampled from a long clip."""
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
    """Resolve config files and flags as `fit` does, but at the paper's scale unless `configs` names a scale.

    The paper's scale replaces the one that the files build on; their own settings still override it. Files that build
    on no scale are resolved as they are.

    Args:
        configs: config files, the experiment first.
        settings: flags of `fit`.

    Raises:
        ValueError: a file does not exist, or its chain of bases is unusable.
    """
    name, chains = Path(configs[0]).stem, [config_chain(file) for file in configs]
    scales = [chain[-1] for chain in chains if is_scale(chain[-1])]
    if scales:
        return Resolved(name, scales[-1].stem, _configuration(configs, settings))
    if not any(is_scale(file) for chain in chains for file in chain):
        return Resolved(name, "given", _configuration(configs, settings))
    files = dict.fromkeys(str(file) for chain in chains for file in _over_scale(chain))
    return Resolved(name, Path(PAPER).stem, _configuration([PAPER, *files], settings))


def _over_scale(chain: Sequence[Path]) -> Sequence[Path]:
    """Return the files of a chain that override its scale, or would override one if it has none."""
    places = [place for place, file in enumerate(chain) if is_scale(file)]
    if places:
        return chain[places[-1] + 1 :]
    return [*(file for file in chain[:-1] if not is_general(file)), chain[-1]]


def resolve_as_given(configs: Sequence[str], settings: Sequence[str] = ()) -> Resolved:
    """Resolve config files and flags exactly as `fit` does.

    Args:
        configs: config files.
        settings: flags of `fit`.

    Raises:
        ValueError: a file does not exist, or its chain of bases is unusable.
    """
    config = _configuration(configs, settings)
    return Resolved(config.name, "given", config)


def _configuration(configs: Sequence[str], settings: Sequence[str]) -> Namespace:
    return resolve_words(["fit", *(f"--config={file}" for file in configs), *settings]).config

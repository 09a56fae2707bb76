"""Random weights in place of those that an experiment names and that do not come with the project."""

import tempfile
from functools import cache
from pathlib import Path

import torch
from torchvision import models


@cache
def _folder():
    return tempfile.TemporaryDirectory()  # which is removed with the process


@cache
def _mobilenet_v2():
    """A config file that names random weights."""
    weights, config = (Path(_folder().name) / name for name in ("mobilenet_v2.pth", "random_weights.yaml"))
    torch.save(models.mobilenet_v2().state_dict(), weights)
    config.write_text(f"model: {{teacher: {{init_args: {{weights: {weights}}}}}}}")
    return str(config)


def random_weights(experiment):
    """Return the config files to name with an experiment, or a command line: none for most."""
    return [_mobilenet_v2()] if "teacher_mobilenet" in str(experiment) else []

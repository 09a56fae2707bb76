"""Builds objects from the settings that a model folder keeps, and says which version wrote settings that do not fit."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Mapping
from typing import Any, TypeVar

from lightning_modules.experiment_parser import ExperimentParser
from lightning_modules.export.transformers_files import VERSION

T = TypeVar("T")


def build(kind: type[T], settings: Mapping[str, Any], version: str | None, where: str) -> T:
    """Return an object of a class from the settings of its constructor.

    Args:
        kind: class, whose arguments may be slots.
        settings: settings by argument, as in YAML.
        version: version of this project that wrote the settings; None if that is not known.
        where: file or folder of the settings, for the error.

    Raises:
        ValueError: the settings do not fit this version of the class.
    """
    parser = ExperimentParser()
    parser.add_class_arguments(kind, "built")
    try:
        built: T = parser.instantiate(parser.parse_object({"built": dict(settings)})).built
    except ArgumentError as error:
        raise ValueError(f"{where} {of_version(version)}: {' '.join(str(error).split())}") from error
    return built


def of_version(version: str | None) -> str:
    """Return what to do about settings of another version, for an error that begins with their file."""
    if version == VERSION:
        return f"has settings that version {VERSION}, which wrote it, does not know"
    wrote = f"version {version} of video-panda" if version else "a version of video-panda that it does not name"
    return (
        f"was written by {wrote}, and this is {VERSION}, which does not know its settings; install that version, or "
        "export the run again with this one"
    )

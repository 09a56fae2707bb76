"""What an experiment changes, and what the experiments that it builds on have changed before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from lightning_modules.config.chain import is_general, is_scale, with_bases
from lightning_modules.config.difference import difference


@dataclass
class Changes:
    """Lines of differences; none if the experiment builds on nothing, or on files that make no experiment alone.

    Attributes:
        own: of the experiment from the files that it builds on.
        inherited: of these from the first experiment among them.
        base_encoder: configuration of the encoder that the experiment builds on.
    """

    own: list[str] = field(default_factory=list)
    inherited: list[str] = field(default_factory=list)
    base_encoder: dict[str, Any] | None = None


def changes(
    parser: LightningArgumentParser, config: Namespace, files: Sequence[Path], given: Sequence[Path]
) -> Changes:
    """Return how a configuration differs from what the named files build on, at the same scale.

    Args:
        parser: of the command line.
        config: what it has parsed, by verb.
        files: config files of the run, the most basic first.
        given: those of them that the user named.
    """
    asked = [file for file in given if not is_scale(file)] or given
    bases = [file for file in files if file not in asked]
    if not bases:
        return Changes()
    ours, base = config[config.subcommand], _parsed(parser, config, bases)
    if base is None:
        return Changes()
    experiments = [file for file in bases if not is_general(file)]
    first = [file for file in bases if file not in experiments[1:]]
    origin = _parsed(parser, config, first) if first != bases else None
    inherited = [] if origin is None else _differences(base, origin)
    return Changes(_differences(ours, base), inherited, base.model.encoder.as_dict())


def _parsed(parser: LightningArgumentParser, config: Namespace, files: Sequence[Path]) -> Namespace | None:
    """Return what files come to without those of the user; None if something is missing that only the user's give."""
    verb = config.subcommand
    seed = f"--seed_everything={config[verb].seed_everything}"  # another seed is not another experiment
    words = with_bases([verb, *(f"--config={file}" for file in files), seed])
    try:
        with redirect_stderr(StringIO()):
            parsed: Namespace = parser.parse_args(words)[verb]
    except SystemExit:
        return None
    return parsed


def _differences(ours: Namespace, base: Namespace) -> list[str]:
    return [
        line
        for part in ("model", "data", "trainer")
        for line in difference({part: ours[part].as_dict()}, {part: base[part].as_dict()})
    ]

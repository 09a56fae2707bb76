"""The request of a sweep, from a file such as `experiments/sweeps/table_4.yaml`, from flags, or from both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.config.chain import read_config
from lightning_modules.config.packaged import beside, did_you_mean, found
from lightning_modules.runs.folder import checked_name

KEYS = ("experiments", "seeds", "config", "set", "stages")
TABLE_KEYS = ("title", "baseline", "rows", "benchmarks", "aspects", "costs", "notes")  # only for `reproduce`
_NOT_OF_A_JOB = {  # flags of `fit` that the sweep sets itself
    "--seed_everything": "give --seeds",
    "--ckpt_path": "a job goes on from its own checkpoint by itself",
    "--print_config": "give --dry-run",
    "-c": "give --config",
}
_OPEN, _CLOSE = "[{(", "]})"
StageFiles = tuple[Path, ...]  # config files of a stage: its own, and others such as its data
Stages = tuple[tuple[StageFiles, ...], ...]  # consecutive stages with one or more alternatives each


@dataclass(frozen=True)
class Request:
    """The request of a sweep: all combinations of its experiments, seeds, alternative stages and values.

    Attributes:
        name: name of the sweep.
        experiments: config files of the experiments.
        seeds: seeds of every row.
        configs: further config files of all jobs, such as a scale.
        grid: values by key.
        settings: further flags of all jobs.
        stages: stages of each job; empty if a job is a single training.
    """

    name: str
    experiments: tuple[Path, ...]
    seeds: tuple[int, ...] = (0,)
    configs: tuple[Path, ...] = ()
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    stages: Stages = ()


def request_of(
    files: Sequence[Path],
    name: str | None = None,
    seeds: Sequence[int] | None = None,
    configs: Sequence[Path] = (),
    assignments: Sequence[str] = (),
    settings: Sequence[str] = (),
    stages: Sequence[str] | None = None,
) -> Request:
    """Combine a file and flags into a request.

    Args:
        files: experiments, or one sweep file.
        name: name of the sweep; None for that of the file, or those of the experiments.
        seeds: one number of seeds, or several seeds, instead of the file's.
        configs: config files of all jobs, after the file's.
        assignments: `key=v1,v2`, in addition to the file's.
        settings: further flags of all jobs.
        stages: stages of each job, instead of the file's: `stage.yaml+data.yaml`, with a comma between alternatives.

    Raises:
        ValueError: a file is missing or has an unknown key, or a flag is invalid.
    """
    files, configs = [found(file) for file in files], [found(file) for file in configs]
    for file in (*files, *configs):
        if not file.is_file():
            nearest = did_you_mean(file) or "; name experiments, such as experiments/no_lste.yaml, or a sweep"
            raise ValueError(f"{file} does not exist{nearest}")
    for setting in settings:
        option = setting.partition("=")[0]
        if option in _NOT_OF_A_JOB:
            raise ValueError(f"{option} cannot be given to all runs of a sweep; {_NOT_OF_A_JOB[option]}")
    sweeps = [file for file in files if {"experiments", "rows"} & read_config(file).keys()]
    if sweeps and len(files) > 1:
        raise ValueError(f"{sweeps[0]} is a sweep, which is named alone; {len(files)} files are named")
    request = read_sweep(sweeps[0]) if sweeps else Request(_name(files), tuple(files))
    grid = dict(request.grid)
    for key, values in map(_assignment, assignments):
        if key in grid:
            raise ValueError(f"--set {key} is given twice, here or in the file; give all values at once: {key}=1,2")
        grid[key] = values
    return Request(
        name=checked_name(request.name if name is None else name, "name of the sweep"),
        experiments=request.experiments,
        seeds=request.seeds if seeds is None else seeds_of(seeds[0] if len(seeds) == 1 else list(seeds), "--seeds"),
        configs=(*request.configs, *configs),
        grid=grid,
        settings=tuple(settings),
        stages=request.stages if stages is None else typed_stages(stages),
    )


def read_sweep(path: Path) -> Request:
    """Read a sweep file, or a table of the paper; paths in it are relative to its folder, as with `base:`.

    Raises:
        ValueError: a key is unknown, a file does not exist, or a value has the wrong type.
    """
    content = read_config(path)
    if "rows" in content:
        content = _of_table(content, path)
    unknown = sorted(str(key) for key in content.keys() - set(KEYS))
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)} in {path}; a sweep has {', '.join(KEYS)}")
    grid = content.get("set") or {}
    if not isinstance(grid, Mapping):
        raise ValueError(f"`set` in {path} is {grid!r}; it must be a mapping such as `data.batch_size: [8, 16]`")
    experiments = _files(content, "experiments", path)
    if not experiments:
        raise ValueError(f"`experiments` in {path} is empty; name at least one")
    return Request(
        name=path.stem,
        experiments=experiments,
        seeds=seeds_of(content.get("seeds", 1), f"`seeds` in {path}"),
        configs=_files(content, "config", path),
        grid={str(key): _values(values, f"`set: {key}` in {path}") for key, values in grid.items()},
        stages=_listed_stages(content["stages"], path) if content.get("stages") is not None else (),
    )


def _of_table(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a table of the paper as the content of a sweep file: the baseline first, then the other rows in order."""
    rows = content["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"`rows` in {path} is {rows!r}; it must be a list of mappings with an `experiment`")
    files = [content.get("baseline"), *(row.get("experiment") for row in rows)]
    experiments = [file for place, file in enumerate(files) if file is not None and file not in files[:place]]
    return {key: value for key, value in content.items() if key not in TABLE_KEYS} | {"experiments": experiments}


def seeds_of(seeds: Any, where: str) -> tuple[int, ...]:
    """Return the seeds from their number (then they start at 0) or from a list of seeds.

    Raises:
        ValueError: there are no seeds, a seed is repeated, or it is not a number of at least 0.
    """
    listed = seeds if isinstance(seeds, list) else [seeds]
    if any(not isinstance(seed, int) or isinstance(seed, bool) or seed < 0 for seed in listed):
        raise ValueError(f"{where} is {seeds!r}; it must be how many seeds, or a list of numbers from 0")
    chosen = listed if isinstance(seeds, list) else range(seeds)
    if not chosen:
        raise ValueError(f"{where} is {seeds!r}, which names no seed; it must be at least 1")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{where} is {seeds!r}, which has a seed twice")
    return tuple(chosen)


def typed_stages(stages: Sequence[str]) -> Stages:
    """Parse stages from the command line: files of a stage are joined by `+`, alternatives by commas.

    Raises:
        ValueError: a file does not exist, or two stages have one name.
    """
    return _stages([stage.split(",") for stage in stages], found, "--stages")


def _listed_stages(stages: Any, path: Path) -> Stages:
    """Parse stages from a sweep file, with paths relative to it; alternatives are a list within the list."""
    where = f"`stages` in {path}"
    listed = [stage if isinstance(stage, list) else [stage] for stage in stages] if isinstance(stages, list) else []
    if not listed or not all(stage and all(isinstance(files, str) for files in stage) for stage in listed):
        raise ValueError(f"{where} is {stages!r}; it must be a list of files, each of a stage, or of lists of these")
    return _stages(listed, lambda name: _absolute(beside(path, name)), where)


def _stages(texts: Sequence[Sequence[str]], named: Callable[[str], Path], where: str) -> Stages:
    stages = tuple(tuple(tuple(map(named, files.split("+"))) for files in alternatives) for alternatives in texts)
    every = [files for alternatives in stages for files in alternatives]
    missing = [str(file) for files in every for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{where} names {', '.join(missing)}, which does not exist")
    twice = [name for name, count in Counter(files[0].stem for files in every).items() if count > 1]
    if twice:
        raise ValueError(
            f"{where} has two stages called {', '.join(twice)}; a stage is called like its first file: give one of them"
            " a file of its own, which may have the other as its `base`"
        )
    return stages


def _name(files: Sequence[Path]) -> str:
    stems = [file.stem for file in files]
    return "+".join(stems if len(stems) <= 3 else [*stems[:2], f"{len(stems) - 2}_more"])


def _files(content: Mapping[str, Any], key: str, path: Path) -> tuple[Path, ...]:
    names = content.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{key}` in {path} is {names!r}; it must be a list of files")
    files = tuple(beside(path, name) for name in names)
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"`{key}` in {path} names {', '.join(missing)}, which does not exist")
    return tuple(map(_absolute, files))


def _absolute(file: Path) -> Path:
    return Path(file.parent.resolve(), file.name)


def _assignment(text: str) -> tuple[str, tuple[str, ...]]:
    key, equals, values = text.partition("=")
    if not key or not equals:
        raise ValueError(f"--set is {text!r}; it must be KEY=VALUE or KEY=VALUE,VALUE, such as data.batch_size=8,16")
    return key.removeprefix("--"), _values(_split(values), f"--set {key}")


def _values(values: Any, where: str) -> tuple[str, ...]:
    """Return values as texts for flags."""
    listed = values if isinstance(values, list) else [values]
    texts = tuple(value if isinstance(value, str) else json.dumps(value) for value in listed)
    if not texts or "" in texts:
        raise ValueError(f"{where} has a value that is empty; give one or more, such as 8,16")
    if len(set(texts)) < len(texts):
        raise ValueError(f"{where} has the same value twice: {', '.join(texts)}")
    return texts


def _split(values: str) -> list[str]:
    """Split at commas that are not within brackets."""
    parts, depth = [""], 0
    for character in values:
        depth += (character in _OPEN) - (character in _CLOSE)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts

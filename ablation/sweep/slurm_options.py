"""What a user sets for SLURM: `--slurm partition=gpu,gpus_per_node=4,time=24:00:00`."""

from __future__ import annotations

from importlib.util import find_spec

Options = dict[str, str | int]


def slurm_options(text: str) -> Options:
    """Read options of sbatch, with `_` for `-`; `time` in minutes, which is how submitit reckons with it.

    Raises:
        ValueError: it is not of this form, asks for several machines or tasks, has no time, or submitit is not
            installed.
    """
    options: Options = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise ValueError(
                f"--slurm has {part!r}; it must be KEY=VALUE,KEY=VALUE such as partition=gpu,time=24:00:00"
            )
        options[key] = int(value) if value.isdecimal() else value
    for key in ("nodes", "ntasks_per_node", "tasks_per_node"):
        if options.get(key, 1) != 1:
            raise ValueError(
                f"--slurm has {key}={options[key]}; a job of a sweep is one task on one machine, with as many GPUs as "
                "trainer.devices says. For one run on several machines, see docs/slurm.sh"
            )
    if "time" not in options:
        raise ValueError(
            "--slurm has no time=, after which a run saves a checkpoint and is queued again, such as time=24:00:00"
        )
    options["time"] = minutes(str(options["time"]))
    if find_spec("submitit") is None:
        raise ValueError("--slurm needs submitit, which is not installed: pip install 'video-panda-lightning[slurm]'")
    return options


def minutes(time: str) -> int:
    """Return a time of sbatch in minutes, rounded up as it does.

    Raises:
        ValueError: it is not of one of its forms.
    """
    days, dash, rest = time.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(part.isdecimal() for part in (days or "0", *parts)) or (dash and not days):
        raise ValueError(
            f"--slurm has time={time}; it must be minutes, minutes:seconds, hours:minutes:seconds or "
            "days-hours:minutes:seconds"
        )
    units = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    seconds = sum(int(part) * unit for part, unit in zip(parts, units, strict=False))
    return int(days or 0) * 24 * 60 + -(-seconds // 60)

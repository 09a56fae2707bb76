"""What a file of `configs/benchmarks` says of its benchmark, without its questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_modules.config.chain import read_config

BENCHMARKS = Path("configs/benchmarks")


@dataclass(frozen=True)
class KnownBenchmark:
    """A benchmark.

    Attributes:
        file: that describes it.
        name: that its questions are counted under.
        questions: how many it has.
        judge: model that judged the paper's answers; None where answers are choices, which need none.
    """

    file: Path
    name: str
    questions: int
    judge: str | None


def known_benchmark(stem: str) -> KnownBenchmark:
    """Return the benchmark that `configs/benchmarks/<stem>.yaml` describes.

    Raises:
        ValueError: there is no such file here.
    """
    file = BENCHMARKS / f"{stem}.yaml"
    if not file.is_file():
        raise ValueError(f"{file} does not exist here; give the command in the folder of the repository")
    (described,) = read_config(file)["data"]["init_args"]["benchmarks+"]
    return KnownBenchmark(file, described["name"], described["question_count"], described["paper"].get("judge"))

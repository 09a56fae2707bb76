"""The answers of a table's rows to a benchmark, and whether they can be held against the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablation.comparing.experiment import Experiment
from ablation.comparing.obstacles import obstacles
from ablation.reproducing.column import Asked
from ablation.reproducing.figures import Marks
from ablation.reproducing.measure import Measure
from ablation.reproducing.tested import MissingError, Tested, find_tested
from ablation.reproducing.trained import Trained, differences_from_paper


@dataclass(frozen=True)
class RowAnswers:
    """Answers of a row's trainings.

    Attributes:
        trained: of the row.
        tested: seed -> answers.
        missing: why there are none, or not of every seed; empty if nothing is missing.
    """

    trained: Trained
    tested: Mapping[int, Tested]
    missing: str

    def marks(self, measure: Measure) -> dict[int, Marks]:
        """Return what the answers of each seed are worth."""
        return {seed: measure.marks(each) for seed, each in self.tested.items()}


def find_answers(column: Asked, trained: Sequence[Trained], judge: str | None, problems: list[str]) -> list[RowAnswers]:
    """Return the answers of every row.

    Args:
        column: with the benchmark.
        trained: rows.
        judge: whose judgements count; None: the only one's.
        problems: to which is added what was left out, and why.

    Raises:
        ValueError: several judges, and nothing says which counts; or the runs were not tested alike.
    """
    found = [_answers(column, each, judge, problems) for each in trained]
    experiments = [
        Experiment(each.trained.name, {seed: [tested.run] for seed, tested in each.tested.items()})
        for each in found
        if each.tested
    ]
    check_alike(experiments, f"tests on {column.benchmark.name}")
    return found


def check_alike(experiments: Sequence[Experiment], what: str) -> None:
    """Refuse tests that cannot be compared.

    Raises:
        ValueError: questions, scale, judge or anything else differs that must not.
    """
    different = obstacles(experiments) if experiments else []
    if different:
        lines = "\n".join(f"  {line}" for line in different)
        raise ValueError(f"these {what} cannot be in one table; test again, or move away, what is different:\n{lines}")


def _answers(column: Asked, trained: Trained, judge: str | None, problems: list[str]) -> RowAnswers:
    tested: dict[int, Tested] = {}
    missing: dict[str, list[int]] = {}
    for seed in trained.seeds:
        try:
            if seed not in trained.folders:
                raise MissingError("not trained")
            tested[seed] = find_tested(trained.folders[seed], column.benchmark, judge, problems)
        except MissingError as error:
            missing.setdefault(str(error), []).append(seed)
    words = [f"{len(seeds)} {why}" for why, seeds in missing.items()] if tested or len(missing) > 1 else [*missing]
    return RowAnswers(trained, tested, ", ".join(words))


def not_as_in_the_paper(column: Asked, answers: Sequence[RowAnswers]) -> list[str]:
    """Return why these figures cannot be held against the paper's; nothing if they can."""
    benchmark = column.benchmark
    tested = [each for row in answers for each in row.tested.values()]
    lines = differences_from_paper([row.trained for row in answers if row.tested])
    judges = {each.run.answered.judge or "" for each in tested}
    others = sorted(judge for judge in judges if benchmark.judge and not judge.startswith(benchmark.judge))
    if others:
        lines.append(f"judged by {' and '.join(others)}, the paper's by {benchmark.judge}")
    asked = min((len(each.run.answered.asked) for each in tested), default=benchmark.questions)
    if asked != benchmark.questions:
        lines.append(f"{asked:,} of {benchmark.questions:,} questions were asked")
    return lines

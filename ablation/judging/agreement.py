"""How well two judges agree on the same answers: `video-panda agreement A.jsonl B.jsonl`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.judging.figures import clusters, percent
from ablation.judging.judgements import JudgedAnswer, Key, read_judgements
from datamodules.printable import say
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.scoring.interval import clustered_mean, clustered_share

Pair = tuple[JudgedAnswer, JudgedAnswer]


@dataclass(frozen=True)
class Agreement:
    """The judgements of two judges on the answers that both judged.

    Attributes:
        names: names of the judges.
        pairs: pairs of judgements of the same answer.
        left_out: number of answers that are only in one file, or not judged by both.
    """

    names: tuple[str, str]
    pairs: list[Pair]
    left_out: int

    @property
    def verdicts(self) -> list[Pair]:
        """Pairs that say right or wrong."""
        return [(a, b) for a, b in self.pairs if a.right is not None and b.right is not None]

    @property
    def scores(self) -> list[tuple[float, float]]:
        """Pairs of scores."""
        return [(a.score, b.score) for a, b in self.pairs if a.score is not None and b.score is not None]

    def kappa(self) -> float | None:
        """Return Cohen's kappa; None if it is undefined, because both judges give the same verdict on all answers."""
        if not self.verdicts:
            return None
        n = len(self.verdicts)
        same = sum(a.right == b.right for a, b in self.verdicts) / n
        ours, theirs = (sum(bool(pair[side].right) for pair in self.verdicts) / n for side in (0, 1))
        chance = ours * theirs + (1 - ours) * (1 - theirs)
        return None if chance == 1 else (same - chance) / (1 - chance)

    def correlation(self) -> float | None:
        """Return Pearson's correlation of the scores; None if a judge gives all answers the same score."""
        sides = [[pair[side] for pair in self.scores] for side in (0, 1)]
        if any(len(set(side)) < 2 for side in sides):
            return None
        return statistics.correlation(*sides)

    def disagreements(self) -> list[Pair]:
        """Return the pairs that differ, the largest difference first."""
        return sorted((pair for pair in self.pairs if _distance(pair) > (0, 0)), key=_distance, reverse=True)


def compare(first: Path, second: Path) -> Agreement:
    """Read two files of judgements of the same answers.

    Raises:
        ValueError: a file cannot be read, or the files are about different answers.
    """
    (name, ours), (other, theirs) = read_judgements(first), read_judgements(second)
    common = [key for key in ours if key in theirs]
    different = [key for key in common if _texts(ours[key]) != _texts(theirs[key])]
    if different or not common:
        problem = (
            f"question {different[0][0]!r} has another question, reference or prediction"
            if different
            else "no id is in both"
        )
        raise ValueError(f"{first} and {second} are about different answers: {problem}")
    pairs = [(ours[key], theirs[key]) for key in common if _both_judged(ours[key], theirs[key])]
    if not pairs:
        raise ValueError(f"{first} and {second}: there is no answer that both judged")
    keys: set[Key] = ours.keys() | theirs.keys()
    return Agreement((name, other), pairs, len(keys) - len(pairs))


def report(agreement: Agreement, shown: int) -> list[str]:
    """Return the lines to print, with at most `shown` disagreements."""
    lines = [f"A: {agreement.names[0]}", f"B: {agreement.names[1]}"]
    lines.append(f"in common: {len(agreement.pairs)} judged by both; {agreement.left_out} by one or none left out")
    verdicts = agreement.verdicts
    if verdicts:
        grouped_by, groups = clusters([a for a, _ in verdicts])
        for side, name in enumerate("AB"):
            share = clustered_share([bool(pair[side].right) for pair in verdicts], groups)
            lines.append(f"accuracy by {name}: {percent(share)}")
        shift = clustered_mean([float(bool(b.right)) - float(bool(a.right)) for a, b in verdicts], groups, -1, 1)
        low, high = 100 * shift.low, 100 * shift.high
        lines.append(
            f"shift from A to B: {100 * shift.value:+.1f} % [{low:+.1f}, {high:+.1f}], clustered by {grouped_by}"
        )
        lines.append(f"same verdict: {100 * statistics.fmean(a.right == b.right for a, b in verdicts):.1f} %")
        lines.append(f"Cohen's kappa: {_number(agreement.kappa())}")
    if agreement.scores:
        means = [statistics.fmean(pair[side] for pair in agreement.scores) for side in (0, 1)]
        lines.append(f"mean score: {means[0]:.2f} by A, {means[1]:.2f} by B")
        lines.append(f"correlation of scores: {_number(agreement.correlation())}")
    apart = agreement.disagreements()
    lines.append(f"differently judged: {len(apart)}" + (", the furthest apart:" if apart and shown else ""))
    for a, b in apart[:shown]:
        about = f", {a.aspect}" if a.aspect else ""
        lines.append(f"  {a.id}{about}: A {_verdict(a)}, B {_verdict(b)}")
        lines.append(f"    {a.question!r}; reference {a.reference!r}; prediction {a.prediction!r}")
    return lines


def _texts(judged: JudgedAnswer) -> tuple[str, str, str]:
    return judged.question, judged.reference, judged.prediction


def _both_judged(ours: JudgedAnswer, theirs: JudgedAnswer) -> bool:
    return ours.unjudged is None and theirs.unjudged is None


def _distance(pair: Pair) -> tuple[int, float]:
    a, b = pair
    opposite = None not in (a.right, b.right) and a.right != b.right
    return int(opposite), abs(a.score - b.score) if a.score is not None and b.score is not None else 0.0


def _verdict(judged: JudgedAnswer) -> str:
    words = [] if judged.right is None else ["right" if judged.right else "wrong"]
    return " ".join(words + ([] if judged.score is None else [f"{judged.score:g}"]))


def _number(value: float | None) -> str:
    return "none, because a judge says the same of everything" if value is None else f"{value:.3f}"


def main(args: Sequence[str] | None = None) -> None:
    """Print the agreement of two judges, as the command line says."""
    parser = ProgramParser(prog="video-panda agreement", description=__doc__)
    parser.add_argument("first", type=Path, help="judgements/.../JUDGE.jsonl, as `judge` writes it")
    parser.add_argument("second", type=Path, help="those of another judge about the same answers")
    parser.add_argument("--show", type=int, default=5, help="how many disagreements to print")
    options = parser.parse_args(args)
    with user_errors():
        say("\n".join(report(compare(options.first, options.second), max(0, options.show))))

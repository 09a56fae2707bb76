"""Differences that make runs incomparable: questions, data, scale, generation settings, or rules for right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.comparing.answer_rows import Question
from ablation.comparing.experiment import Experiment, changes, compared_config
from ablation.comparing.run import Run

# Facts that must be equal among the runs in which they are recorded.
_MUST_BE_EQUAL: Mapping[str, Callable[[Run], Any]] = {
    "scale": lambda run: run.scale,
    "data manifest": lambda run: _data(run).get("manifest_sha256"),
    "question files": lambda run: _question_files(run),
    "judge": lambda run: run.answered.judge,
    "generation settings": lambda run: run.provenance.get("generation"),
    "comparison of answers with references": lambda run: _rules(run),
}
# Facts that may differ, with a remark.
_MAY_DIFFER: Mapping[str, Callable[[Run], Any]] = {
    "code": lambda run: run.provenance.get("code"),
    "versions": lambda run: run.provenance.get("versions"),
    "device": lambda run: run.provenance.get("device"),
    "precision": lambda run: run.provenance.get("precision"),
}
_SHOWN = 60  # displayed characters of a value


def obstacles(experiments: Sequence[Experiment]) -> list[str]:
    """Return a line per difference that must not be; empty if all runs can be compared."""
    runs = [run for experiment in experiments for run in experiment.runs]
    lines = [
        f"{name}: {' against '.join(groups)}"
        for name, fact in _MUST_BE_EQUAL.items()
        if len(groups := _groups(runs, fact)) > 1
    ]
    common = set.intersection(*(run.answered.questions for run in runs))
    others = [f"{run.label} has {extra:,}" for run in runs if (extra := len(run.answered.questions - common))]
    if others:
        lines.append(
            f"questions: {len(common):,} are the same in all runs (id, video, text and reference); besides these, "
            + _some(others)
        )
    for experiment in experiments:
        first, *rest = experiment.runs
        for run in rest:
            differing = changes(compared_config(run), compared_config(first))
            if differing:
                lines.append(f"settings of {run.label} and {first.label}, one experiment: {_some(differing)}")
    return lines


def remarks(experiments: Sequence[Experiment]) -> list[str]:
    """Return a line per permitted difference, and per fact that runs do not record."""
    runs = [run for experiment in experiments for run in experiment.runs]
    lines = []
    without = [run.label for run in runs if not run.provenance]
    if without:
        lines.append(f"provenance is missing in {_some(without)}: of these, questions and settings alone were compared")
    unscaled = [run.label for run in runs if run.scale is None]
    if unscaled:
        lines.append(f"no file says at which scale {_some(unscaled)} ran")
    gone = [run.label for run in runs if None in run.earlier_stages.values()]
    if gone:
        lines.append(f"earlier stages of {_some(gone)} are gone: their settings were not compared")
    unnamed = [run.label for run in runs if any(question.video is None for question in run.marks)]
    if unnamed:
        lines.append(f"answers of {_some(unnamed)} do not name videos: each question counts as a video of its own")
    unjudged = {question for run in runs for question in run.answered.unjudged}
    if unjudged:
        which = _some([f"{run.label} ({len(run.answered.unjudged):,})" for run in runs if run.answered.unjudged])
        lines.append(f"{len(unjudged):,} questions are left out, since answers to them are unjudged in {which}")
    for name, fact in _MAY_DIFFER.items():
        groups = _groups(runs, fact)
        if len(groups) > 1:
            lines.append(f"{name} differs: {' against '.join(groups)}")
    for benchmark, unasked in _not_asked(runs).items():
        lines.append(f"{benchmark}: {unasked:,} questions were not asked (no clip); here they are left out")
    return lines


def common_questions(experiments: Sequence[Experiment]) -> list[Question]:
    """Return the questions with marks in every run, in the order of the first run."""
    first, *rest = (run for experiment in experiments for run in experiment.runs)
    return [question for question in first.marks if all(question in run.marks for run in rest)]


def _groups(runs: Sequence[Run], fact: Callable[[Run], Any]) -> list[str]:
    """Return the different values of a fact with the runs that have them; runs without it are ignored."""
    facts = [(run.label, value) for run in runs if (value := fact(run)) is not None]
    groups: dict[str, list[str]] = {}
    for label, value in facts:
        if isinstance(value, Mapping):  # only entries that differ are shown
            shown = {
                key: item
                for key, item in value.items()
                if any(not isinstance(other, Mapping) or other.get(key) != item for _, other in facts)
            }
            value = ", ".join(f"{key} {item}" for key, item in sorted(shown.items()))
        groups.setdefault(str(value), []).append(label)
    return [f"{_short(text)} ({_some(labels)})" for text, labels in groups.items()]


def _short(text: str) -> str:
    return "none" if not text else text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _data(run: Run) -> Mapping[str, Any]:
    data = run.provenance.get("data")
    return data if isinstance(data, Mapping) else {}


def _question_files(run: Run) -> dict[str, str] | None:
    files = _data(run).get("question_files")
    return (
        {Path(name).name: checksum for name, checksum in files.items()} if isinstance(files, dict) and files else None
    )


def _rules(run: Run) -> dict[str, str] | None:
    compared = run.provenance.get("compared")
    if not isinstance(compared, dict):
        return None
    return {kind: str(rules.get("sha256"))[:12] for kind, rules in compared.items() if isinstance(rules, dict)}


def _not_asked(runs: Sequence[Run]) -> dict[str, int]:
    """Return the number of questions that were not asked, for the benchmarks with any."""
    missing: dict[str, int] = {}
    for run in runs:
        benchmarks = run.scores.get("benchmarks")
        for name, counts in benchmarks.items() if isinstance(benchmarks, dict) else ():
            answers = sum(question.family.split("/")[0] == name for question in run.answered.questions)
            total = counts.get("questions") if isinstance(counts, dict) else None
            missing[name] = max(missing.get(name, 0), total - answers if isinstance(total, int) else 0)
    return {name: count for name, count in missing.items() if count}

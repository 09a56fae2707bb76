"""Scores stored answers with a judge, without the model: `video-panda judge RUN --judge ExactMatch`.

Judgements are kept, whatever ends the program, and the same command resumes with the answers that have none.
`--judge.help NAME` shows the settings of a judge.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm  # type: ignore[import-untyped]

import ablation.judging.likelihood
import ablation.judging.local
import ablation.judging.server  # noqa: F401  (imported so that class names suffice on the command line)
from ablation.judging.answers import GeneratedAnswer, answer_files, read_generated_answers
from ablation.judging.figures import figures, keep_scores, scores, warnings
from ablation.judging.judge import Comparison, Judge, JudgeError, Judgement
from ablation.judging.judgements import JudgementCache, judgement_path, write_judgements
from datamodules.answer_kind import Aspect
from datamodules.printable import printable, say
from lightning_modules.config.chain import read_config
from lightning_modules.config.known_names import explain
from lightning_modules.config.user_errors import user_errors

CHARACTERS_PER_TOKEN = 4  # approximate, for English
TOKENS_PER_REPLY = 20  # approximate, for the requested object
NOT_ASKED = Judgement(unjudged="not asked: it was stopped before")


class _Parser(ArgumentParser):
    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        read_config(Path(path))  # has better error messages
        parsed: Namespace = super().parse_path(path, *args, **kwargs)
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        super().error(printable(explain(message, {"judge": Judge})), ex)


def judge_pending(
    judge: Judge, pending: Sequence[Comparison], cache: JudgementCache, judgements: dict[Comparison, Judgement]
) -> None:
    """Judge pending comparisons, and store every judgement in `cache` and `judgements` at once.

    Raises:
        KeyboardInterrupt: Ctrl-C; judgements in progress have been stored.
        JudgeError: the judge cannot judge at all; earlier judgements have been stored.
        ValueError: a judgement cannot be stored, as on a full disk.
    """

    def work(batch: Sequence[Comparison]) -> int:
        try:
            for comparison, judgement in zip(batch, judge.judge(batch), strict=True):
                cache.add(comparison, judgement)
                judgements[comparison] = judgement
        except BaseException:
            judge.stop()  # here, because the next batch starts before the error is handled below
            raise
        return len(batch)

    size = judge.batch_size
    pool = ThreadPoolExecutor(judge.concurrency)
    try:
        batches = [pool.submit(work, pending[start : start + size]) for start in range(0, len(pending), size)]
        with tqdm(total=len(pending), unit="answer", disable=None) as bar:  # None: only on a terminal
            for done in as_completed(batches):
                bar.update(done.result())
    except BaseException:
        judge.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def plan(judge: Judge, pending: Sequence[Comparison], prices: tuple[float, float] | None) -> list[str]:
    """Return lines with the expected calls, tokens and costs of judging pending comparisons.

    `prices` are those of a million input tokens and of a million output tokens.
    """
    lengths = [length for length in map(judge.prompt_length, pending) if length]
    read, written = sum(lengths) // CHARACTERS_PER_TOKEN, len(lengths) * TOKENS_PER_REPLY
    lines = [f"to judge: {len(pending)}", f"calls to a model: {len(lengths)}, if each reply can be read"]
    lines.append(f"tokens: about {read:,} to read and {written:,} to write")
    if prices:
        lines.append(f"cost: about {(read * prices[0] + written * prices[1]) / 1e6:.2f}")
    return lines


def run(
    judge: Judge,
    source: Path,
    split: str,
    aspects: Sequence[Aspect],
    cache_folder: Path,
    dry: bool,
    prices: tuple[float, float] | None,
) -> None:
    """Judge the answers of a run or file, write the judgements beside them, and print the figures.

    Raises:
        ValueError: answers or cache cannot be read, or the judge does not support them.
        KeyboardInterrupt: Ctrl-C; judgements so far have been written.
    """
    files = answer_files(source, split)
    answers = read_generated_answers(files, aspects, judge.scores)
    identity = judge.identity
    revision = f", revision {identity.revision[:16]}" if identity.revision else ""
    say(f"judge: {identity.label} ({type(judge).__name__}, prompt {identity.prompt[:8]}{revision})")
    empty = sum(not answer.comparison.prediction.strip() for answer in answers)
    say(f"answers: {len(answers)} in {', '.join(map(str, files))}" + (f", {empty} of them empty" if empty else ""))
    cache = JudgementCache(cache_folder, identity)
    if cache.broken:
        say(f"warning: {cache.path}: {cache.broken} broken lines left out, as of a process that was killed")
    different = dict.fromkeys(answer.comparison for answer in answers)
    judgements = {comparison: judgement for comparison in different if (judgement := cache.get(comparison))}
    pending = [comparison for comparison in different if comparison not in judgements]
    say(f"different ones: {len(different)}, judged before: {len(judgements)} (in {cache.path})")
    if dry:
        say("\n".join(plan(judge, pending, prices)))
        return
    stopped: KeyboardInterrupt | JudgeError | None = None
    try:
        judge_pending(judge, pending, cache, judgements)
    except (KeyboardInterrupt, JudgeError) as error:
        stopped = error
        judgements = {
            comparison: judgement for comparison, judgement in judgements.items() if judgement.reply is not None
        }
    if judgements:
        _report(judge, files[0], answers, judgements)
    if stopped is not None:
        raise stopped


def _report(
    judge: Judge, file: Path, answers: Sequence[GeneratedAnswer], judgements: dict[Comparison, Judgement]
) -> None:
    path = judgement_path(file, judge.identity)
    judged = write_judgements(
        path, judge.identity, {answer: judgements.get(answer.comparison, NOT_ASKED) for answer in answers}
    )
    models = sorted({judgement.answered_by for judgement in judgements.values() if judgement.answered_by})
    say(f"judgements: {path}" + (f"; answered by {', '.join(models)}" if models else ""))
    if len(models) > 1:
        say("warning: several models answered under one name; give the one to use by its full name, with a date")
    say("\n".join([*figures(judge.identity.label, judged), *warnings(judged)]))
    figures_by_name = scores(judge.identity.label, judged)
    say(f"scores: {keep_scores(path, file, judge.identity, models, judged, figures_by_name)}")


def main(args: Sequence[str] | None = None) -> None:
    """Judge answers as the command line says."""
    parser = _Parser(prog="video-panda judge", description=__doc__)
    parser.add_argument("--config", action="config", help="file with `judge: {class_path: ..., init_args: ...}`")
    parser.add_argument("answers", type=Path, help="run folder, or file of answers as JSON lines")
    parser.add_subclass_arguments(Judge, "judge", required=True, help="who judges")
    parser.add_argument("--split", type=str, default="test", help="which answers of a run")
    parser.add_argument(
        "--aspects",
        nargs="+",
        choices=[*map(str, Aspect)],
        default=[],
        help="judge these; default: those of each question's benchmark, or whether it is right where it has none",
    )
    parser.add_argument("--cache", type=Path, default=Path("data/judgements"), help="folder of all replies so far")
    parser.add_argument("--dry_run", "--dry-run", action="store_true", help="only say what it would take")
    parser.add_argument(
        "--prices", type=tuple[float, float] | None, help="of a million tokens, read and written: [0.15,0.60]"
    )
    # Instantiated separately from parsing, since the parser would print a traceback for errors of the judge.
    with user_errors():
        config = parser.parse_args(None if args is None else list(args))
        try:
            built = parser.instantiate(config)
            run(
                built.judge,
                built.answers,
                built.split,
                [*map(Aspect, built.aspects)],
                built.cache,
                built.dry_run,
                built.prices,
            )
        except KeyboardInterrupt:
            say("interrupted; the same command goes on from here", file=sys.stderr)
            sys.exit(130)

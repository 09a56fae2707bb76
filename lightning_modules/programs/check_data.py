"""`video-panda check-data`: opens every clip of a data set once, before a training meets the bad ones.

Reports for each clip whether it is ok, suspicious (with reasons), damaged or unreadable; which clips are duplicates, or
in both train and test; and which records are too long for the language model. Writes `manifest.jsonl` and a page,
`report.html`. Resumes where it was stopped. Further flags are those of fit, such as --data.sampler.frames=16.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.checking.check import check
from datamodules.checking.clips import SPLITS, Clips, clips_of_folder, clips_of_records
from datamodules.checking.media_facts import Manifest
from datamodules.checking.page import write_page
from datamodules.checking.report import Report, make_report
from datamodules.checking.verdict import Verdict
from datamodules.long_records import ErrorOnLongRecords
from datamodules.printable import say, table
from datamodules.skips import SkipCounter
from datamodules.video.damage import DamagedVideo
from datamodules.video.media_policy import ErrorOnBadMedia, Skipped
from lightning_modules.config.user_errors import ProgramParser, user_errors

if TYPE_CHECKING:
    from datamodules.records import RecordTable
    from datamodules.video_text import VideoTextDataModule
    from lightning_modules.video_language import VideoLanguageModel

FRAMES_OF_A_FOLDER = 8
SHOWN = 10  # lines per list in the terminal
INTERRUPTED = 130


def main(args: Sequence[str]) -> None:
    """Parse the command line, check the clips and print a summary; status 1 if a training would stop at them."""
    parser = ProgramParser(
        prog="video-panda check-data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="check all clips below it; or use --config")
    parser.add_argument("--config", action="append", default=[], help="config file of fit, as often as you like")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one per core")
    parser.add_argument("--out", type=Path, help="folder of manifest and page; default: data/checks/NAME")
    options, settings = parser.parse_known_args(args)
    if (options.folder is None) == (not options.config):
        parser.error("give either a folder or --config")
    if options.folder is not None and settings:
        parser.error(f"a folder is checked without settings: {' '.join(settings)}")
    if options.workers < 1:
        parser.error(f"--workers is {options.workers}; it must be at least 1")
    with user_errors():
        if options.folder is not None:
            name, clips, frames = options.folder.resolve().name, clips_of_folder(options.folder), FRAMES_OF_A_FOLDER
            report = checked_report(name, clips, options.out or Path("data/checks", name), frames, options.workers)
            counter = SkipCounter(ErrorOnBadMedia(), ErrorOnLongRecords())
            stop_where_a_training_would(report, counter, DamagedVideo.REFUSE, {})
        else:
            # Imports torch and the models, which checking a folder does not need.
            from lightning_modules.resolve import resolve_files

            experiment = resolve_files(options.config, settings)
            name, data = experiment.config.name, experiment.data_module()
            records = {split: data.load_records(split) for split in SPLITS}
            clips = clips_of_records(data.media_root, records)
            folder = options.out or Path("data/checks", name)
            report = checked_report(name, clips, folder, experiment.frames(), options.workers)
            data.manifest = Manifest(str(report.checked.manifest))
            listing, long = long_records(experiment.model_on_meta(), data, records)
            say(listing)
            stop_where_a_training_would(report, data.skips, data.damaged, long)


def checked_report(name: str, clips: Clips, folder: Path, frames: int, workers: int) -> Report:
    """Check clips, write manifest and page, and print the summary; Ctrl-C ends the program and keeps the results."""
    try:
        report = make_report(name, clips, check(clips.distinct(), folder, frames, workers))
        page = write_page(report, folder / "report.html", workers)
    except KeyboardInterrupt:
        say("\ninterrupted; what was checked is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    say(f"{summary(report)}\npage      {page}\n")
    return report


def long_records(
    model: VideoLanguageModel, data: VideoTextDataModule, records: Mapping[str, RecordTable]
) -> tuple[str, dict[str, str]]:
    """Return the terminal's list of records that are too long for a model, and name -> length of these records.

    Args:
        model: model on the meta device.
        data: data module with the manifest of all clips.
        records: records of every split.
    """
    from datamodules.record_lengths import TokenLimits, find_long_records

    try:
        text = model.language_model.read_text()
    except ValueError as error:
        return f"lengths of records are not known: {error}\n", {}
    data.connect(model.encoder, text)
    limits = TokenLimits(text, model.language_model.max_length, model.max_new_tokens, model.encoder.layout)
    long: dict[str, str] = {}
    for split, of_split in records.items():
        data.manifest.check(of_split.clips()[0], data.media_root)
        long |= find_long_records(of_split, data.clip_shapes(), limits, generated=split != "train")
        data.skips.expect(0, len(of_split))
    lines = [f"{name}: {length}" for name, length in long.items()]
    return _listed("too long for the language model", lines) + "\n" * bool(lines), long


def stop_where_a_training_would(
    report: Report, counter: SkipCounter, damaged: DamagedVideo, long: Mapping[str, str]
) -> None:
    """Apply the training's policies on unusable clips and records that are too long.

    Raises:
        ValueError: the training would stop.
    """
    stopping = {Verdict.UNREADABLE} | ({Verdict.DAMAGED} if damaged is DamagedVideo.REFUSE else set())
    for clips in report.splits.values():
        counter.expect(len(clips), 0)
    bad = [clip for clip in report.judged if clip.verdict in stopping]
    counter.count(Skipped("", clip.facts.path, f"{clip.facts.path}: {clip.why()}") for clip in bad)
    counter.count_long(long)


def summary(report: Report) -> str:
    """Return the tables and lists for the terminal."""
    clips = report.checked.clips
    new = len(clips) - report.checked.unchanged
    parts = [
        f"\n{len(clips):,} clips below {report.clips.root}: {new:,} checked now,"
        f" {report.checked.unchanged:,} known before",
        _ignored(report),
        _verdicts(report),
        table(["reason", "clips"], [[reason, f"{count:,}"] for reason, count in report.reasons()] or [["none", "0"]]),
        _listed(
            "worst", [f"{clip.verdict}  {clip.facts.path}: {clip.why()}" for clip in report.judged if clip.reasons]
        ),
        _listed("in train and in another split", [duplicate.where() for duplicate in report.leaks()]),
        _listed("more than once in a split", [duplicate.where() for duplicate in report.repeated()]),
        f"manifest  {report.checked.manifest}\nsha256    {report.checked.sha256}",
    ]
    return "\n\n".join(part for part in parts if part)


def _verdicts(report: Report) -> str:
    columns = report.counts_by_split()
    total = report.counts()
    if len(columns) > 1:
        rows = [
            [verdict, f"{total[verdict]:,}", *(f"{counts[verdict]:,}" for counts in columns.values())]
            for verdict in Verdict
        ]
        return table(["verdict", "distinct clips", *columns], rows)
    return table(["verdict", "clips"], [[verdict, f"{count:,}"] for verdict, count in total.items()])


def _ignored(report: Report) -> str:
    others = report.clips.ignored
    if not others:
        return ""
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    return f"not looked at: {sum(others.values()):,} files of other kinds ({counts})"


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    more = [f"  ... and {len(lines) - SHOWN:,} more, see the page"] if len(lines) > SHOWN else []
    return "\n".join([f"{title} ({len(lines):,}):", *(f"  {line}" for line in lines[:SHOWN]), *more])

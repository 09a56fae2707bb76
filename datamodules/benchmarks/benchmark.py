"""The description of a benchmark, and its questions and clips as found on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import content_hash
from datamodules.benchmarks.question import Question, QuestionTypes
from datamodules.benchmarks.question_file import QuestionFile, first_few
from datamodules.records import Record
from datamodules.records.media_root import MediaRoot
from datamodules.records.record import RecordError

NAME = "{video}"


@dataclass(frozen=True)
class Benchmark:
    """The description of one benchmark, as in every file of `configs/benchmarks`.

    Attributes:
        name: name of the benchmark; the id and the family of every question begin with it.
        split: part of the benchmark, such as `test`.
        questions: format and names of the question files.
        videos: folder of the clips, relative to the folder of all benchmarks.
        types: rule that determines the type of a question.
        video_name: path of a clip below `videos`, without extension; `{video}` is its name in the question file.
        question_count: number of questions; null if unknown.
        video_count: number of videos that the questions are about; null if unknown.
        sha256: checksums of the question files, by their names as in `questions`; files may be missing.
        paper: published results. They are stored with the results of a run but not compared with them, since scores of
            a judge are not scores of exact match.
    """

    name: str
    split: str
    questions: QuestionFile
    videos: str
    types: QuestionTypes
    video_name: str = "{video}"
    question_count: int | None = None
    video_count: int | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    paper: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "split"):
            if not getattr(self, name).strip():
                raise RecordError(
                    f"data.init_args.benchmarks: `{name}` is empty; it must name the benchmark or its part"
                )
        for name in ("question_count", "video_count"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise RecordError(f"{self.name}: `{name}` is {count}; it must be at least 1, or null if not known")

    def load(self, root: Path) -> LoadedBenchmark:
        """Read all questions and look for their clips.

        Args:
            root: folder of all benchmarks.

        Raises:
            RecordError: a question file cannot be used, or the folder of clips does not exist.
        """
        questions = self.questions.read(root)
        files = VideoFiles(root / self.videos, self.video_name)
        records: list[Record] = []
        unanswered: list[Record] = []
        for question in questions:
            video = files.find(question.video, question.where)
            path = video or files.media.folder / files.relative_path(question.video)
            record = question.record(self.name, path, self.types.of(question))
            (unanswered if video is None else records).append(record)
        return LoadedBenchmark(
            description=self,
            records=records,
            unanswered=unanswered,
            missing=files.missing(),
            warnings=[*self._differences(questions), *self._other_checksums(root)],
        )

    def _differences(self, questions: Sequence[Question]) -> Iterator[str]:
        videos = len({question.video for question in questions})
        for items, count, expected in (
            ("questions", len(questions), self.question_count),
            ("videos", videos, self.video_count),
        ):
            if expected not in (None, count):
                yield f"{self.name}: {count} {items} instead of {expected}; this is not its whole {self.split} split"

    def _other_checksums(self, root: Path) -> Iterator[str]:
        for file, expected in self.sha256.items():
            if file not in self.questions.files:
                raise RecordError(
                    f"{self.name}: `sha256` is about {file!r}, which is none of its question files: "
                    + ", ".join(self.questions.files)
                )
            checksum = content_hash(root / file)
            if checksum != expected.lower():
                yield f"{self.name}: {file} has the checksum {checksum} instead of {expected}; it is not the usual file"


@dataclass(frozen=True)
class LoadedBenchmark:
    """The questions of a benchmark and their clips, as found on disk.

    Attributes:
        description: description of the benchmark.
        records: one record for each question whose clip exists.
        unanswered: one record for each question whose clip is missing; `video` is the path where it was expected.
        missing: names of the missing clips.
        warnings: differences of the questions and videos from the description.
    """

    description: Benchmark
    records: list[Record]
    unanswered: list[Record]
    missing: list[str]
    warnings: list[str]

    @property
    def videos(self) -> int:
        """Number of clips that the questions are about, including missing ones."""
        return len({record.video for record in self.records}) + len(self.missing)

    def question_counts(self) -> dict[str, int]:
        """Return the number of questions of each family, including those whose clip is missing."""
        return dict(sorted(Counter(record.family for record in [*self.records, *self.unanswered]).items()))

    def check_missing(self, max_share: float, root: Path) -> str:
        """Return a message about the missing clips; empty if none is missing.

        Args:
            max_share: share of the clips, 0 to 1, that may be missing.
            root: folder of all benchmarks.

        Raises:
            RecordError: more clips are missing.
        """
        if not self.missing:
            return ""
        notice = (
            f"{self.description.name}: {len(self.missing)} of {self.videos} videos are missing in"
            f" {root / self.description.videos}: {first_few(self.missing)}; {len(self.unanswered)} of"
            f" {len(self.records) + len(self.unanswered)} questions are about them"
        )
        if len(self.missing) > max_share * self.videos:
            raise RecordError(
                f"{notice}. Add the files, or set data.init_args.max_missing_share, which is {max_share}, so that these"
                " questions count as not answered"
            )
        return notice

    def report(self) -> dict[str, Any]:
        """Return the facts to store with the results, ready for JSON."""
        return {
            "name": self.description.name,
            "split": self.description.split,
            "questions": self.question_counts(),
            "videos": self.videos,
            "missing_videos": self.missing,
            "unanswered": len(self.unanswered),
            "warnings": self.warnings,
            "paper": self.description.paper,
        }


class VideoFiles:
    """Finds the clips of a benchmark below one folder."""

    def __init__(self, folder: Path, pattern: str) -> None:
        """Check the folder and the pattern.

        Args:
            folder: folder of the clips.
            pattern: path of a clip below the folder, without extension; `{video}` stands for its name in the question
                file.

        Raises:
            RecordError: the folder does not exist, or the pattern does not contain `{video}`.
        """
        if NAME not in pattern:
            raise RecordError(f"`video_name` is {pattern!r}; it must hold {NAME}, as in 'v_{NAME}'")
        self.media = MediaRoot(folder)
        self.pattern = pattern
        self._paths: dict[str, Path | None] = {}

    def find(self, video: str, where: str) -> Path | None:
        """Return the path of a clip, or None if it does not exist; see `MediaRoot.find_by_stem`.

        Args:
            video: name of the clip in the question file.
            where: description of the question's position, for errors.

        Raises:
            RecordError: the name leads out of the folder, or several clips match it.
        """
        if video not in self._paths:
            self._paths[video] = self.media.find_by_stem(self.relative_path(video), where)
        return self._paths[video]

    def relative_path(self, video: str) -> str:
        """Return the path of a clip below the folder, without extension."""
        return self.pattern.replace(NAME, video)

    def missing(self) -> list[str]:
        """Return the names of the clips that `find` did not find."""
        return [self.relative_path(video) for video, path in self._paths.items() if path is None]

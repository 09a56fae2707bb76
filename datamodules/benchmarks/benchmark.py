"""What is known of a benchmark, and what of it is there: its questions, their clips, and how both differ from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import content_hash
from datamodules.benchmarks.question import Question
from datamodules.benchmarks.question_file import QuestionFile, first_few
from datamodules.benchmarks.question_types import QuestionTypes
from datamodules.records import Record
from datamodules.records.media_root import MediaRoot
from datamodules.records.record import RecordError

NAME = "{video}"


@dataclass(frozen=True)
class Benchmark:
    """The description of one benchmark; every file of `configs/benchmarks` has one.

    Attributes:
        name: begins the id and the family of every question.
        split: which part of the benchmark this is.
        questions: the form of its question files, and their names.
        videos: folder of its clips, relative to the folder of all benchmarks.
        types: how the type of a question is told.
        video_name: path of a clip below `videos`, without extension; `{video}` is its name in the question file.
        question_count: how many questions there are; null if that is not known.
        video_count: how many videos they are about; null if that is not known.
        sha256: checksums of question files, by their names as in `questions`, where known.
        paper: figures that were published for it. They are kept with the results and compared with nothing, since a
            judge's figures are not those of an exact match.
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
            RecordError: a question file cannot be used, or there is no folder of clips.
        """
        questions = self.questions.read(root)
        files = VideoFiles(root / self.videos, self.video_name)
        asked: list[Record] = []
        unanswered: list[Record] = []
        for question in questions:
            video = files.find(question.video, question.where)
            path = video or files.media.folder / files.named(question.video)
            (unanswered if video is None else asked).append(question.record(self.name, path, self.types.of(question)))
        return LoadedBenchmark(
            description=self,
            asked=asked,
            unanswered=unanswered,
            missing=files.missing(),
            warnings=[*self._differences(questions), *self._other_checksums(root)],
        )

    def _differences(self, questions: Sequence[Question]) -> Iterator[str]:
        videos = len({question.video for question in questions})
        for what, found, expected in (
            ("questions", len(questions), self.question_count),
            ("videos", videos, self.video_count),
        ):
            if expected not in (None, found):
                yield f"{self.name}: {found} {what} instead of {expected}; this is not its whole {self.split} split"

    def _other_checksums(self, root: Path) -> Iterator[str]:
        for file, expected in self.sha256.items():
            if file not in self.questions.files:
                raise RecordError(
                    f"{self.name}: `sha256` is about {file!r}, which is none of its question files: "
                    + ", ".join(self.questions.files)
                )
            found = content_hash(root / file)
            if found != expected.lower():
                yield f"{self.name}: {file} has the checksum {found} instead of {expected}; it is not the usual file"


@dataclass(frozen=True)
class LoadedBenchmark:
    """The questions of a benchmark, as far as they are there.

    Attributes:
        description: of the benchmark.
        asked: a record per question whose clip is there.
        unanswered: a record per question whose clip is missing; its `video` is where it was looked for.
        missing: names of the missing clips.
        warnings: how questions and videos differ from the description.
    """

    description: Benchmark
    asked: list[Record]
    unanswered: list[Record]
    missing: list[str]
    warnings: list[str]

    @property
    def videos(self) -> int:
        """How many clips the questions are about, there or not."""
        return len({record.video for record in self.asked}) + len(self.missing)

    def question_counts(self) -> dict[str, int]:
        """Return family -> questions, whether or not their clip is there."""
        return dict(sorted(Counter(record.family for record in [*self.asked, *self.unanswered]).items()))

    def check_missing(self, max_share: float, root: Path) -> str:
        """Return words about the missing clips; empty if none is missing.

        Args:
            max_share: share of the clips, 0 to 1, that may be missing.
            root: folder of all benchmarks.

        Raises:
            RecordError: more are missing.
        """
        if not self.missing:
            return ""
        words = (
            f"{self.description.name}: {len(self.missing)} of {self.videos} videos are missing in"
            f" {root / self.description.videos}: {first_few(self.missing)}; {len(self.unanswered)} of"
            f" {len(self.asked) + len(self.unanswered)} questions are about them"
        )
        if len(self.missing) > max_share * self.videos:
            raise RecordError(
                f"{words}. Add the files, or set data.init_args.max_missing_share, which is {max_share}, so that these"
                " questions count as not answered"
            )
        return words

    def report(self) -> dict[str, Any]:
        """Return what is to be kept with the results, ready for JSON."""
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
    """Finds clips below one folder, and nowhere else."""

    def __init__(self, folder: Path, pattern: str) -> None:
        """Take the folder.

        Args:
            folder: of the clips.
            pattern: path of a clip below it, with `{video}` where the name that the question file uses goes, and
                without the extension.

        Raises:
            RecordError: there is no such folder, or the pattern has no place for a name.
        """
        if NAME not in pattern:
            raise RecordError(f"`video_name` is {pattern!r}; it must hold {NAME}, as in 'v_{NAME}'")
        self.media = MediaRoot(folder)
        self.pattern = pattern
        self._found: dict[str, Path | None] = {}

    def find(self, video: str, where: str) -> Path | None:
        """Return a clip; None if there is none, by the rule of `MediaRoot.find_by_stem`.

        Args:
            video: its name in the question file.
            where: words for the place of the question, for the error.

        Raises:
            RecordError: the name leads out of the folder, or there are several such clips.
        """
        if video not in self._found:
            self._found[video] = self.media.find_by_stem(self.named(video), where)
        return self._found[video]

    def named(self, video: str) -> str:
        """Return the path of a clip below the folder, without extension."""
        return self.pattern.replace(NAME, video)

    def missing(self) -> list[str]:
        """Return the names of the clips that were looked for and not found."""
        return [self.named(video) for video, path in self._found.items() if path is None]

"""The report of a check: verdicts and duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from datamodules.checking.check import Checked
from datamodules.checking.clips import Clips, by_relative_path
from datamodules.checking.verdict import Judged, Verdict
from datamodules.video.clip_facts import ClipFacts

WORST_FIRST = list(Verdict)[::-1]


@dataclass(frozen=True)
class Duplicate:
    """A file content that occurs more than once.

    Attributes:
        sha256: SHA-256 of the content.
        splits: paths of its clips, by split.
    """

    sha256: str
    splits: Mapping[str, Sequence[str]]

    @property
    def leaks(self) -> bool:
        """Whether a training clip is also in another split."""
        return "train" in self.splits and len(self.splits) > 1

    @property
    def repeated(self) -> bool:
        """Whether a split has the content under more than one name."""
        return any(len(paths) > 1 for paths in self.splits.values())

    def where(self) -> str:
        """Return the splits and paths in one line."""
        return "; ".join(f"{split}: {', '.join(paths)}" for split, paths in self.splits.items())


def find_duplicates(splits: Mapping[str, Sequence[ClipFacts]]) -> list[Duplicate]:
    """Return every content that is in a split twice, where it counts double, or leaks from `train`; leaks come first.

    Args:
        splits: facts about the distinct clips of every split.
    """
    paths_of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, clips in splits.items():
        for facts in clips:
            if facts.sha256:
                paths_of[facts.sha256][split].append(facts.path)
    duplicates = [
        Duplicate(sha256, {split: sorted(paths) for split, paths in by_split.items()})
        for sha256, by_split in paths_of.items()
    ]
    kept = [duplicate for duplicate in duplicates if duplicate.leaks or duplicate.repeated]
    return sorted(kept, key=lambda duplicate: (not duplicate.leaks, str(duplicate.splits)))


@dataclass(frozen=True)
class Report:
    """A check as it is shown in the terminal and on the page.

    Attributes:
        name: name of the checked folder or configuration.
        clips: clips that were checked.
        checked: result of the check.
        splits: verdicts of each split.
        duplicates: contents that occur more than once.
    """

    name: str
    clips: Clips
    checked: Checked
    splits: Mapping[str, Sequence[Judged]]
    duplicates: Sequence[Duplicate]

    @property
    def judged(self) -> list[Judged]:
        """Every clip once, with the worst verdicts first."""
        return sorted(self.checked.clips.values(), key=_badness)

    def counts(self) -> dict[Verdict, int]:
        """Return the number of clips for every verdict, also if it is 0."""
        return _counts(self.checked.clips.values())

    def counts_by_split(self) -> dict[str, dict[Verdict, int]]:
        """Return the same for each split."""
        return {split: _counts(clips) for split, clips in self.splits.items()}

    def reasons(self) -> list[tuple[str, int]]:
        """Return the number of clips for each reason, the most frequent first."""
        return Counter(reason for clip in self.checked.clips.values() for reason in clip.reasons).most_common()

    def kinds(self) -> list[tuple[tuple[str, str, str], int]]:
        """Return the number of readable clips for each container, codec and reader."""
        readable = [clip.facts for clip in self.checked.clips.values() if not clip.facts.error]
        return Counter((facts.container.split(",")[0], facts.codec, facts.reader) for facts in readable).most_common()

    def leaks(self) -> list[Duplicate]:
        """Return the contents that are in `train` and in another split."""
        return [duplicate for duplicate in self.duplicates if duplicate.leaks]

    def repeated(self) -> list[Duplicate]:
        """Return the contents that a split has more than once."""
        return [duplicate for duplicate in self.duplicates if duplicate.repeated]


def make_report(name: str, clips: Clips, checked: Checked) -> Report:
    """Return the report of a check."""
    splits = {
        split: [checked.clips[path] for path in by_relative_path(clips.root, files)]
        for split, files in clips.splits.items()
    }
    duplicates = find_duplicates({split: [clip.facts for clip in judged] for split, judged in splits.items()})
    return Report(name, clips, checked, splits, duplicates)


def _badness(clip: Judged) -> tuple[int, int, str]:
    return WORST_FIRST.index(clip.verdict), -len(clip.reasons), clip.facts.path


def _counts(clips: Iterable[Judged]) -> dict[Verdict, int]:
    counts = Counter(clip.verdict for clip in clips)
    return {verdict: counts[verdict] for verdict in Verdict}

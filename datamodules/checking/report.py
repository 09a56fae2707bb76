"""What a check found, put together for people: verdicts and duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from datamodules.checking.check import Checked
from datamodules.checking.clips import Clips, named
from datamodules.checking.verdict import Judged, Verdict
from datamodules.video.clip_facts import ClipFacts

WORST_FIRST = list(Verdict)[::-1]


@dataclass(frozen=True)
class Duplicate:
    """One content that is there more than once.

    Attributes:
        sha256: of the content.
        splits: the paths of its clips, by split.
    """

    sha256: str
    splits: Mapping[str, Sequence[str]]

    @property
    def leaks(self) -> bool:
        """Whether what is learnt from is also what is scored."""
        return "train" in self.splits and len(self.splits) > 1

    @property
    def repeated(self) -> bool:
        """Whether a split has it under more than one name."""
        return any(len(paths) > 1 for paths in self.splits.values())

    def where(self) -> str:
        """Return the splits and paths in one line."""
        return "; ".join(f"{split}: {', '.join(paths)}" for split, paths in self.splits.items())


def find_duplicates(splits: Mapping[str, Sequence[ClipFacts]]) -> list[Duplicate]:
    """Return every content that a split has twice, where it counts double, or that leaks from `train`; leaks first.

    Args:
        splits: facts of the clips of every split, each clip once.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, clips in splits.items():
        for facts in clips:
            if facts.sha256:
                found[facts.sha256][split].append(facts.path)
    duplicates = [
        Duplicate(sha256, {split: sorted(paths) for split, paths in at.items()}) for sha256, at in found.items()
    ]
    kept = [duplicate for duplicate in duplicates if duplicate.leaks or duplicate.repeated]
    return sorted(kept, key=lambda duplicate: (not duplicate.leaks, str(duplicate.splits)))


@dataclass(frozen=True)
class Report:
    """A check, from which the terminal and the page are written.

    Attributes:
        name: of what was checked.
        clips: where they are.
        checked: what was found in them.
        splits: the verdicts of each split.
        duplicates: contents that are there twice.
    """

    name: str
    clips: Clips
    checked: Checked
    splits: Mapping[str, Sequence[Judged]]
    duplicates: Sequence[Duplicate]

    @property
    def judged(self) -> list[Judged]:
        """Every clip once, the worst first."""
        return sorted(self.checked.clips.values(), key=_badness)

    def counts(self) -> dict[Verdict, int]:
        """Return how many clips have which verdict, those too that none has."""
        return _counts(self.checked.clips.values())

    def counts_by_split(self) -> dict[str, dict[Verdict, int]]:
        """Return the same for each split."""
        return {split: _counts(clips) for split, clips in self.splits.items()}

    def reasons(self) -> list[tuple[str, int]]:
        """Return how many clips have which reason, the most frequent first."""
        return Counter(reason for clip in self.checked.clips.values() for reason in clip.reasons).most_common()

    def kinds(self) -> list[tuple[tuple[str, str, str], int]]:
        """Return how many clips that can be read have which container, codec and reader."""
        facts = [clip.facts for clip in self.checked.clips.values() if not clip.facts.error]
        return Counter((each.container.split(",")[0], each.codec, each.reader) for each in facts).most_common()

    def leaks(self) -> list[Duplicate]:
        """Return the contents that are in `train` and in another split."""
        return [duplicate for duplicate in self.duplicates if duplicate.leaks]

    def repeated(self) -> list[Duplicate]:
        """Return the contents that a split has more than once."""
        return [duplicate for duplicate in self.duplicates if duplicate.repeated]


def make_report(name: str, clips: Clips, checked: Checked) -> Report:
    """Put a report together."""
    splits = {
        split: [checked.clips[name] for name in named(clips.root, files)] for split, files in clips.splits.items()
    }
    duplicates = find_duplicates({split: [clip.facts for clip in judged] for split, judged in splits.items()})
    return Report(name, clips, checked, splits, duplicates)


def _badness(clip: Judged) -> tuple[int, int, str]:
    return WORST_FIRST.index(clip.verdict), -len(clip.reasons), clip.facts.path


def _counts(clips: Iterable[Judged]) -> dict[Verdict, int]:
    found = Counter(clip.verdict for clip in clips)
    return {verdict: found[verdict] for verdict in Verdict}

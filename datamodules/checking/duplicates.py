"""Clips that are there twice: within a split, where they count double, and across splits, where they leak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datamodules.video.clip_facts import ClipFacts


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
    """Return every content that a split has twice, or that is in `train` and another split; leaks first.

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

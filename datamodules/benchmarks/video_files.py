"""Where the clips of a benchmark are: questions name them with or without the end of the file's name."""

from __future__ import annotations

from pathlib import Path

from datamodules.records.media_root import MediaRoot
from datamodules.records.record_error import RecordError

NAME = "{video}"


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

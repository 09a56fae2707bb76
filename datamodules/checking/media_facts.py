"""What is known of clips before they are opened: nothing, or what `check-data` found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datamodules.checking.clips import named
from datamodules.checking.manifest import ManifestError, data_hash, read_manifest
from datamodules.records.media_root import located
from datamodules.regular_file import content_hash
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.damage import DamagedVideo
from datamodules.video.open import open_known, open_video
from datamodules.video.reader import VideoReader

ASKED_AT_ONCE = 32  # files whose size and time a network drive is asked for


class MediaFacts(ABC):
    """The family `manifest`."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of the names and contents of all clips that are known; empty if none are.

        Raises:
            ManifestError: what is known cannot be read.
        """

    @abstractmethod
    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Refuse clips that are not those that are known.

        Args:
            clips: of a split.
            root: their media root.

        Raises:
            ManifestError: what is known is of other data.
        """

    @abstractmethod
    def of(self, clip: Path) -> ClipFacts | None:
        """Return what is known of a clip that was checked; None if nothing is."""

    @abstractmethod
    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip that was checked.

        Raises:
            DamagedVideoError: only a part can be decoded, under `DamagedVideo.REFUSE`.
            VideoError: no frame can be read.
        """

    @abstractmethod
    def content(self, clip: Path) -> str:
        """Return the sha256 of a clip that was checked.

        Raises:
            OSError: the file cannot be read.
        """


class NoManifest(MediaFacts):
    """Nothing is known; every clip is looked at whenever it is opened."""

    sha256 = ""

    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Accept any clips."""

    def of(self, clip: Path) -> ClipFacts | None:
        """Return nothing."""
        return None

    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip with the reader that its content asks for."""
        return open_video(clip, damaged)

    def content(self, clip: Path) -> str:
        """Return the hash of a file that is read for it, once in each process."""
        return content_hash(clip)


class Manifest(MediaFacts):
    """What `check-data` found is taken as it is: the count of frames, the exact reader, and what is damaged.

    Every clip must be in it, and have the size and time of change that it had then.
    """

    def __init__(self, file: str) -> None:
        """Name the file, which is read when it is asked for.

        Args:
            file: the `manifest.jsonl` that `check-data` wrote.
        """
        self.file = located(file, "data.init_args.manifest.init_args.file")
        self._known: dict[str, ClipFacts] | None = None
        self._facts: dict[Path, ClipFacts] = {}

    @property
    def sha256(self) -> str:
        """Hash of the names and contents of all clips in it."""
        self._read()
        return self._sha256

    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Refuse clips that are not in the manifest, or have changed since."""
        known, files = self._read(), named(root, clips)
        missing = [name for name in files if name not in known]
        if missing:
            raise ManifestError(
                f"manifest {self.file} is of other data: it does not have {len(missing)} of {len(files)} clips below"
                f" {root}, first {missing[0]}; run check-data on the data of this run"
            )
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            same = threads.map(lambda name: known[name].unchanged(files[name]), files)
            changed = [name for name, is_same in zip(files, same, strict=True) if not is_same]
        if changed:
            raise ManifestError(
                f"manifest {self.file} is of other data: {len(changed)} of {len(files)} clips below {root} have changed"
                f" since, first {changed[0]}; run check-data again, which looks at these alone"
            )
        self._facts |= {file: known[name] for name, file in files.items()}

    def of(self, clip: Path) -> ClipFacts | None:
        """Return its line of the manifest."""
        return self._facts[clip]

    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip without looking for what is known of it."""
        return open_known(clip, self._facts[clip], damaged)

    def content(self, clip: Path) -> str:
        """Return the hash that is known, as long as the file has not changed since."""
        facts = self._facts[clip]
        return facts.sha256 if facts.sha256 and facts.unchanged(clip) else content_hash(clip)

    def _read(self) -> dict[str, ClipFacts]:
        if self._known is None:
            contents = read_manifest(self.file)
            self._sha256 = data_hash(facts for _, facts in sorted(contents.clips.items()))
            if contents.edited:
                raise ManifestError(
                    f"manifest {self.file}: {len(contents.edited)} of its lines, first that of {contents.edited[0]},"
                    " were edited or are of an earlier version; run check-data again, which looks at these alone"
                )
            if contents.broken or contents.header != {"clips": len(contents.clips), "sha256": self._sha256}:
                raise ManifestError(
                    f"manifest {self.file}: its check was not finished, or it was edited; run check-data again"
                )
            self._known = contents.clips
        return self._known

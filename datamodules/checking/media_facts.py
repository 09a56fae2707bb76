"""What is known about clips before they are opened: nothing, or the results of `check-data`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.files import content_hash
from datamodules.checking.clips import by_relative_path
from datamodules.checking.manifest import ManifestError, data_hash, read_manifest
from datamodules.records.media_root import located
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.damage import DamagedVideo
from datamodules.video.open import open_known, open_video
from datamodules.video.reader import VideoReader

THREADS = 32  # number of files whose size and time are read at once, which a network drive needs


class MediaFacts(ABC):
    """The family `manifest`: what is known about clips before they are opened."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of the names and contents of all clips in the manifest; empty without one.

        Raises:
            ManifestError: the manifest cannot be used.
        """

    @abstractmethod
    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Refuse clips that differ from those in the manifest.

        Args:
            clips: clips of a split.
            root: their media root.

        Raises:
            ManifestError: the manifest cannot be used or describes other data.
        """

    @abstractmethod
    def of(self, clip: Path) -> ClipFacts | None:
        """Return the facts about a clip that has passed `check`; None without a manifest."""

    @abstractmethod
    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip that has passed `check`.

        Raises:
            DamagedVideoError: only a part can be decoded, under `DamagedVideo.REFUSE`.
            VideoError: no frame can be read.
        """

    @abstractmethod
    def content(self, clip: Path) -> str:
        """Return the SHA-256 of a clip that has passed `check`.

        Raises:
            OSError: the file cannot be read.
        """


class NoManifest(MediaFacts):
    """No manifest: every clip is analysed whenever it is opened."""

    sha256 = ""

    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Accept any clips."""

    def of(self, clip: Path) -> ClipFacts | None:
        """Return None."""
        return None

    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip with the right reader for its content."""
        return open_video(clip, damaged)

    def content(self, clip: Path) -> str:
        """Return the hash of a file, which is read for it once in each process."""
        return content_hash(clip)


class Manifest(MediaFacts):
    """Uses the results of `check-data`: the number of frames, the exact reader, and any damage.

    Every clip must be in the manifest with its present size and time of change.
    """

    def __init__(self, file: str) -> None:
        """Set the file, which is read when it is first needed.

        Args:
            file: path of the `manifest.jsonl` that `check-data` wrote.
        """
        self.file = located(file, "data.init_args.manifest.init_args.file")
        self._by_name: dict[str, ClipFacts] | None = None
        self._facts: dict[Path, ClipFacts] = {}

    @property
    def sha256(self) -> str:
        """Hash of the names and contents of all clips in the manifest."""
        self._read()
        return self._sha256

    def check(self, clips: Iterable[Path], root: Path) -> None:
        """Refuse clips that are not in the manifest or have changed since."""
        facts, files = self._read(), by_relative_path(root, clips)
        missing = [name for name in files if name not in facts]
        if missing:
            raise ManifestError(
                f"manifest {self.file} is of other data: it does not have {len(missing)} of {len(files)} clips below"
                f" {root}, first {missing[0]}; run check-data on the data of this run"
            )
        with ThreadPoolExecutor(THREADS) as threads:
            same = threads.map(lambda name: facts[name].unchanged(files[name]), files)
            changed = [name for name, is_same in zip(files, same, strict=True) if not is_same]
        if changed:
            raise ManifestError(
                f"manifest {self.file} is of other data: {len(changed)} of {len(files)} clips below {root} have changed"
                f" since, first {changed[0]}; run check-data again, which looks at these alone"
            )
        self._facts |= {file: facts[name] for name, file in files.items()}

    def of(self, clip: Path) -> ClipFacts | None:
        """Return the line of the manifest about a clip."""
        return self._facts[clip]

    def open(self, clip: Path, damaged: DamagedVideo) -> VideoReader:
        """Open a clip without analysing it again."""
        return open_known(clip, self._facts[clip], damaged)

    def content(self, clip: Path) -> str:
        """Return the hash in the manifest, or of the file if it has changed since."""
        facts = self._facts[clip]
        return facts.sha256 if facts.sha256 and facts.unchanged(clip) else content_hash(clip)

    def _read(self) -> dict[str, ClipFacts]:
        if self._by_name is None:
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
            self._by_name = contents.clips
        return self._by_name

"""Reads a clip in sequence that was decoded before, so that its count and any damage are known."""

from __future__ import annotations

from datamodules.video.clip_facts import ClipFacts
from datamodules.video.container import Container
from datamodules.video.pyav_reader import SequenceReader


class CountedReader(SequenceReader):
    """Decodes nothing until frames are asked for, and then up to the last of these."""

    def __init__(self, container: Container, facts: ClipFacts) -> None:
        """Take count and frame rate as they are.

        Args:
            container: the open file, which this reader closes in the end.
            facts: what is known of it.
        """
        super().__init__(container, facts.reader_reason)
        self._count, self.fps = facts.frames, facts.fps

"""A clip whose count is known: only what a frame depends on is decoded, and its pixels are those of the sequence."""

import random
from dataclasses import replace

import numpy as np
import pytest

from datamodules.checking.examine import examine
from datamodules.video import pyav_reader
from datamodules.video.container import Container
from datamodules.video.open import open_known
from datamodules.video.pyav_reader import PyAVReader, SequenceReader
from datamodules.video.reader import VideoError
from tests.datamodules.written_clips import KINDS, write_clip


@pytest.mark.parametrize("name", KINDS)
def test_the_frames_are_those_of_the_sequence(name, tmp_path, monkeypatch):
    codec, options, reader = KINDS[name]
    path = write_clip(tmp_path / name, codec, options=options)
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", 0)
    facts = examine((path, name))  # as of a long clip
    monkeypatch.undo()
    assert facts.reader == reader
    with PyAVReader(Container(path)) as sequence, open_known(path, facts) as known:
        pictures = sequence.frames(range(60))
        if not name.endswith(".avi"):  # its packets do not tell when their picture is shown
            monkeypatch.setattr(SequenceReader, "_read", None)
        for indices in ([59], [0], [19, 20, 21], [58, 3, 3, 31], random.Random(1).sample(range(60), 30)):
            np.testing.assert_array_equal(known.frames(indices), pictures[indices])


@pytest.mark.parametrize(("reader", "most"), [("pyav", 40), ("decord", 15)])
def test_what_no_wanted_frame_depends_on_is_not_decoded(reader, most, tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "3", "g": "20"})
    decoded, decode = [], Container.decode
    counting = lambda container, packet: decoded.append(decode(container, packet)) or decoded[-1]  # noqa: E731
    facts = replace(examine((path, path.name)), reader=reader)
    monkeypatch.setattr(Container, "decode", counting)
    with open_known(path, facts) as known:
        known.frames([58])
    assert 0 < sum(map(len, decoded)) <= most


def test_what_has_changed_is_refused(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", frames=60)
    facts = examine((path, path.name))
    write_clip(path, frames=70)
    with pytest.raises(VideoError, match=r"clip\.mp4: its content has changed since check-data"):
        open_known(path, facts)

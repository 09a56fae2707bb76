"""A manifest is believed about the clips it was made of, gives the same frames, and is refused for any others."""

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from datamodules.checking import media_facts
from datamodules.checking.check import check
from datamodules.checking.examine import examine
from datamodules.checking.manifest import ManifestError
from datamodules.checking.media_facts import Manifest, NoManifest
from datamodules.video import pyav_reader
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.container import Container
from datamodules.video.damage import DamagedVideo
from datamodules.video.open import open_known, open_video
from datamodules.video.reader import DamagedVideoError, VideoError
from datamodules.video.sampling import FpsSampler, spread

VIDEOS = Path(__file__).parents[2] / "data" / "videos"
RECORDED = json.loads((VIDEOS / "expected_frames.json").read_text())
WHOLE = [name for name, facts in RECORDED.items() if facts["decodable"] and not facts["decode_error"]]
DAMAGED = [name for name, facts in RECORDED.items() if facts["decodable"] and facts["decode_error"]]
UNREADABLE = [name for name, facts in RECORDED.items() if not facts["decodable"]]


@pytest.mark.parametrize(
    ("name", "kept"),
    [(name, pyav_reader.KEPT_BYTES) for name in WHOLE]
    + [(f"videos/{name}", 0) for name in ("asl_walk.avi", "toy_pig.webm", "hard/discard_first_keyframe.mp4")],
)
def test_the_frames_are_those_without_a_manifest(name, kept, monkeypatch):
    monkeypatch.setattr(pyav_reader, "KEPT_BYTES", kept)
    path = VIDEOS.parent / name
    with open_video(path) as looked_at, open_known(path, examine((path, name))) as known:
        assert (len(known), known.fps) == (len(looked_at), looked_at.fps)
        assert FpsSampler(3.0).indices(len(known), known.fps) == FpsSampler(3.0).indices(len(looked_at), looked_at.fps)
        indices = spread(len(known), 3)[::-1]
        np.testing.assert_array_equal(known.frames(indices), looked_at.frames(indices))
        np.testing.assert_array_equal(known.frames([0]), looked_at.frames([0]))  # again from the beginning


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_refused_or_kept_as_without_a_manifest(name, caplog):
    path = VIDEOS.parent / name
    facts = examine((path, name))
    with pytest.raises(DamagedVideoError) as looked_at:
        open_video(path)
    with pytest.raises(DamagedVideoError) as known:
        open_known(path, facts)
    assert str(known.value) == str(looked_at.value)
    assert (known.value.decodable, known.value.expected) == (looked_at.value.decodable, looked_at.value.expected)
    with open_known(path, facts, DamagedVideo.KEEP_DECODABLE) as reader:
        assert len(reader) == RECORDED[name]["frames"]
        assert len(reader.frames([0, len(reader) - 1])) == 2
    assert "going on with" in caplog.text


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_unreadable_is_not_opened(name, monkeypatch):
    path = VIDEOS.parent / name
    facts = examine((path, name))
    with pytest.raises(VideoError) as looked_at:
        open_video(path)
    monkeypatch.setattr(Container, "__init__", None)
    with pytest.raises(VideoError) as known:
        open_known(path, facts)
    assert str(known.value) == str(looked_at.value)


def test_nothing_is_decoded_before_frames_are_asked_for(monkeypatch):
    path = VIDEOS / "asl_walk.avi"
    facts = examine((path, path.name))
    monkeypatch.setattr(Container, "packets", None)
    with open_known(path, facts) as reader:
        assert len(reader) == 89


def test_a_clip_cut_off_while_it_is_in_use(tmp_path):
    path = tmp_path / "clip.mp4"
    shutil.copy(VIDEOS / "toy_rabbit320.mp4", path)
    facts = examine((path, path.name))
    with open_known(path, facts) as reader:
        shutil.copy(VIDEOS / "hard/truncated_mid_mdat.mp4", path)
        with pytest.raises(VideoError, match=r"clip\.mp4: decoding fails"):
            reader.frames([233])
    with pytest.raises(VideoError, match=r"clip\.mp4: its content has changed"):
        open_known(path, facts)


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("keyboard_rot270.mov", "nasa_13013_rotated.mp4"):
        shutil.copy(VIDEOS / name, folder)
    return folder


@pytest.fixture
def made(media, tmp_path, in_this_process):
    """The file of a manifest of the media folder."""
    return check({path.name: path for path in media.iterdir()}, tmp_path / "out", 8, 1).manifest


def test_a_manifest_of_these_clips(media, made):
    manifest = Manifest(str(made))
    manifest.check([media / "keyboard_rot270.mov"], media)
    assert manifest.sha256 == json.loads(made.read_text().splitlines()[0])["sha256"]
    with manifest.open(media / "keyboard_rot270.mov", DamagedVideo.REFUSE) as reader:
        assert len(reader) == 3
    assert NoManifest().sha256 == ""


def test_the_hash_of_a_content_is_known_until_it_changes(media, made, monkeypatch):
    clip = media / "keyboard_rot270.mov"
    manifest = Manifest(str(made))
    manifest.check([clip], media)
    content = NoManifest().content(clip)
    monkeypatch.setattr(media_facts, "content_hash", lambda path: "from the file")
    assert manifest.content(clip) == content
    replace_by_other(media)
    assert manifest.content(clip) == "from the file"


def test_clips_that_moved_with_their_folder_are_known(media, made):
    media = media.rename(media.with_name("elsewhere"))
    link = media.with_name("link")
    link.symlink_to(media)
    Manifest(str(made)).check([media / "keyboard_rot270.mov"], link)
    Manifest(str(made)).check([link / "keyboard_rot270.mov"], link)


def replace_by_other(media):
    shutil.copy(VIDEOS / "toy_rabbit320.mp4", media / "keyboard_rot270.mov")


def touch(media):
    os.utime(media / "keyboard_rot270.mov")


def remove(media):
    (media / "keyboard_rot270.mov").unlink()


@pytest.mark.parametrize("change", [replace_by_other, touch, remove])
def test_clips_that_have_changed_are_refused(media, made, change):
    files = sorted(media.iterdir())
    change(media)
    with pytest.raises(
        ManifestError, match=r"is of other data: 1 of 2 clips .* have changed since, first keyboard_rot270\.mov"
    ):
        Manifest(str(made)).check(files, media)


def test_clips_that_are_not_in_it_are_refused(media, made):
    shutil.copy(VIDEOS / "toy_rabbit320.mp4", media)
    with pytest.raises(ManifestError, match=r"is of other data: it does not have 1 of 3 clips .*, first toy_rabbit320"):
        Manifest(str(made)).check(media.iterdir(), media)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (lambda lines: lines[1:], "was not finished, or it was edited"),
        (lambda lines: lines[:-1], "was not finished, or it was edited"),
        (lambda lines: [*lines, lines[-1][:9]], "is not a line that check-data writes"),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + ', "path": "x"}'], "is not a line that check-data writes"),
        (
            lambda lines: [lines[0], lines[1].replace('"bytes": 1', '"bytes": 2'), lines[2]],
            "1 of its lines, .* were edited",
        ),
        (lambda lines: [], "was not finished"),
    ],
)
def test_an_unfinished_or_edited_manifest_is_refused(media, made, lines, message):
    made.write_text("".join(f"{line}\n" for line in lines(made.read_text().splitlines())))
    with pytest.raises(ManifestError, match=message):
        Manifest(str(made)).check(media.iterdir(), media)


def other(value):
    """Return another value of the same kind."""
    return not value if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1


def test_no_fact_of_an_edited_line_is_believed(media, made, in_this_process, caplog):
    header, line, last = made.read_text().splitlines()
    written = json.loads(line)
    facts = [field.name for field in fields(ClipFacts)]
    changes = [json.dumps(written | {name: other(written[name])}) for name in facts]
    older = json.dumps({name: value for name, value in written.items() if name != "checksum"})
    for edited in (*changes, older):
        made.write_text(f"{header}\n{edited}\n{last}\n")
        with pytest.raises(
            ManifestError, match=r"1 of its lines, .* were edited or are of an earlier version; run check"
        ):
            Manifest(str(made)).check(media.iterdir(), media)
    in_this_process.clear()
    check({path.name: path for path in media.iterdir()}, made.parent, 8, 1)
    assert in_this_process == [written["path"]]
    assert made.read_text().splitlines() == [header, line, last]
    assert "were edited or are of an earlier version" in caplog.text


def test_a_manifest_that_is_not_there(media):
    with pytest.raises(ManifestError, match="nowhere: cannot be read: No such file"):
        Manifest("nowhere").check(media.iterdir(), media)

"""Names of clips: one rule for training records and benchmarks, whatever the file system makes of a name."""

import unicodedata
from pathlib import Path

import pytest

from datamodules.benchmarks.benchmark import VideoFiles
from datamodules.records import RecordError
from datamodules.records.media_root import MediaRoot, located
from tests.datamodules.training_files import make_media

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def by_stem(root, video):
    """Look up as records of the form VideoChatGPT do, and as benchmarks do, which must agree."""
    paths = [MediaRoot(root).find_by_stem(video, "row 0"), VideoFiles(root, "{video}").find(video, "row 0")]
    assert paths[0] == paths[1]
    return paths[0] and paths[0].relative_to(root).as_posix()


@pytest.mark.parametrize(
    ("file", "called"),
    [
        ("one.MP4", ["one", "one.mp4", "one.MP4", "one.Mp4"]),
        ("two.mp4", ["two", "two.mp4", "two.MP4"]),
        ("v1.2.avi", ["v1.2", "v1.2.avi"]),
        (f"{DECOMPOSED}.mp4", [COMPOSED, DECOMPOSED, f"{COMPOSED}.mp4"]),
        (f"{COMPOSED}.mp4", [DECOMPOSED, f"{DECOMPOSED}.MP4"]),
        (f"{DECOMPOSED}/{DECOMPOSED}/a.mp4", [f"{COMPOSED}/{DECOMPOSED}/a", f"{DECOMPOSED}/{COMPOSED}/a.mp4"]),
    ],
)
def test_a_clip_is_found_by_its_name_with_and_without_its_ending(tmp_path, file, called):
    make_media(tmp_path, file, "other.mp4", "one.txt", "two")
    assert {by_stem(tmp_path, name) for name in called} == {file}
    assert by_stem(tmp_path, "on") is None and by_stem(tmp_path, "one.avi") is None


def test_a_name_that_may_be_two_clips_is_refused(tmp_path):
    make_media(tmp_path, "both.mp4", "both.AVI", "a.mp4", "a.mp4.avi")
    assert by_stem(tmp_path, "both.mp4") == "both.mp4", "the name says which"
    for name, files in (("both", "both.AVI, both.mp4"), ("a.mp4", "a.mp4, a.mp4.avi")):
        for find in (MediaRoot(tmp_path).find_by_stem, VideoFiles(tmp_path, "{video}").find):
            with pytest.raises(RecordError, match=f"row 0: video '{name}' may be any of {files}; leave one"):
                find(name, "row 0")


def test_a_path_is_found_in_another_form_of_unicode(tmp_path):
    make_media(tmp_path, f"{DECOMPOSED}/{DECOMPOSED}.mp4", f"{COMPOSED}.mp4")
    media = MediaRoot(tmp_path)
    paths = media.find(f"{COMPOSED}/{COMPOSED}.mp4", "row 0")
    assert paths == tmp_path / DECOMPOSED / f"{DECOMPOSED}.mp4"
    assert media.find(f"{DECOMPOSED}.mp4", "row 0") == tmp_path / f"{COMPOSED}.mp4"
    make_media(tmp_path, f"{DECOMPOSED}.mp4")
    assert MediaRoot(tmp_path).find(f"{DECOMPOSED}.mp4", "row 0") == tmp_path / f"{DECOMPOSED}.mp4", "as it stands"


def test_a_folder_may_be_below_the_home_or_what_a_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEDIA", "/media")
    assert located("~/clips") == tmp_path / "clips"
    assert located("$MEDIA/a") == located("${MEDIA}/a") == Path("/media/a")
    assert located("a/~b/c$") == Path("a/~b/c$")
    with pytest.raises(RecordError, match=r"\$NOWHERE_/a names the environment variable NOWHERE_, which is not set"):
        located("$NOWHERE_/a")

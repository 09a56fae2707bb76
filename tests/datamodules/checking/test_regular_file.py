"""What has a file's name and is none (a pipe, a device, a socket, a link to itself) is refused and never read."""

import os
import socket

import pytest

from components.files import content_hash
from datamodules.checking.examine import examine
from datamodules.checking.manifest import ManifestError, read_manifest
from datamodules.checking.page import thumbnails
from datamodules.records.json_items import JsonItems
from datamodules.records.record import RecordError
from datamodules.video.open import open_video
from datamodules.video.reader import VideoError
from lightning_modules.config.chain import ConfigChainError, read_config
from lightning_modules.training.checkpoint import CheckpointError, check_checkpoint


@pytest.fixture(params=["pipe", "device", "socket", "loop"])
def special(request, tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "loop":
        path.symlink_to(path)
    else:
        monkeypatch.chdir(tmp_path)
        socket.socket(socket.AF_UNIX).bind(path.name)
    return path


def test_what_is_no_file_is_never_read(special):
    with pytest.raises(VideoError, match=r"a\.mp4: no regular file"):
        open_video(special)
    assert examine((special, "a.mp4")).error.startswith("cannot be read: ")
    assert thumbnails((special, 1)) == []
    with pytest.raises(OSError):
        content_hash(special)
    with pytest.raises(ManifestError, match=r"a\.mp4: cannot be read: "):
        read_manifest(special)
    with pytest.raises(CheckpointError, match=r"no regular file|does not exist"):
        check_checkpoint(special)
    if special.exists():  # a link to itself does not
        with pytest.raises(ConfigChainError, match=r"a\.mp4 is no regular file"):
            read_config(special)
    for name in (special, special.rename(special.with_suffix(".jsonl"))):
        with pytest.raises(RecordError, match="cannot be read: "):
            list(JsonItems(name))

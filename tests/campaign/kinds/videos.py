"""Damaged clips and pictures, read short and long, with a manifest and without."""

from __future__ import annotations

from pathlib import Path
from random import Random

import av
import numpy as np
from PIL import Image

from datamodules.checking.examine import examine
from datamodules.video import pyav_reader
from datamodules.video.open import open_known, open_video
from datamodules.video.reader import VideoError
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.mutations import changed_bytes
from tests.datamodules.written_clips import write_clip

CLIPS = {
    "h264.mp4": ("libx264", {"bf": "3", "g": "20"}),
    "h264.mkv": ("libx264", {"bf": "3", "g": "20"}),
    "h264.avi": ("libx264", {"bf": "0", "g": "20"}),
    "open_groups.mp4": ("libx264", {"bf": "3", "g": "20", "x264-params": "open-gop=1:keyint=20:scenecut=0"}),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none:keyint=20"}),
    "vp8.webm": ("libvpx", {"g": "20", "deadline": "realtime"}),
    "vp9.webm": ("libvpx-vp9", {"g": "20", "deadline": "realtime"}),
    "mpeg4.avi": ("mpeg4", {"g": "12"}),
    "mpeg4.mov": ("mpeg4", {"bf": "2", "g": "12"}),
}
PICTURES = ("JPEG", "PNG", "WEBP", "BMP")
FRAMES = 48


class Videos(Kind):
    """Frames are those of the undamaged file, or what a decoder that sees no damage gives; or there is an error."""

    name, share = "video", 0.22

    def prepare(self, folder: Path) -> None:
        """Write a clip of every coding and a picture of every kind, and decode all of them."""
        self.files = [write_clip(folder / name, codec, FRAMES, options) for name, (codec, options) in CLIPS.items()]
        y, x = np.mgrid[:64, :96]
        picture = Image.fromarray(np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8))
        for format in PICTURES:
            self.files.append(folder / f"picture.{format.lower()}")
            picture.save(self.files[-1], format)
        self.right = {file.name: decoded(file) for file in self.files}

    def damage(self, random: Random, folder: Path) -> str:
        """Change bytes of one file, give it another ending, or leave it as it is."""
        self.original = random.choice(self.files)
        content, what = self.original.read_bytes(), "as it is"
        if random.random() < 0.9:
            content, what = changed_bytes(random, content)
        ending = self.original.suffix if random.random() < 0.9 else random.choice((".mp4", ".avi", ".MKV", ".png", ""))
        self.file = folder / f"clip{ending}"
        self.file.write_bytes(content)
        return f"{self.original.name} as {self.file.name}, {what}"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Read a few frames."""
        if random.random() < 0.5:
            pyav_reader.KEPT_BYTES = 0  # a long clip
        if random.random() < 0.4:
            facts = examine((self.file, self.file.name))
            reader = open_known(self.file, facts)
        else:
            reader = open_video(self.file)
        with reader:
            indices = [random.randrange(len(reader)) for _ in range(4)]
            frames, count, how = reader.frames(indices), len(reader), f"{type(reader).__name__}, frames {indices}"
        right = self.right[self.original.name]
        if equal(frames, count, right, indices):
            return Outcome.RIGHT
        try:
            plain = decoded(self.file)
        except VideoError as error:
            raise WrongError(f"{how}: other frames without a word, where decoding says: {error.reason}") from error
        if equal(frames, count, plain, indices):
            return Outcome.UNSEEN
        raise WrongError(f"{how}: neither the frames of the undamaged file nor those of this one")


def equal(frames: np.ndarray, count: int, all_frames: list[np.ndarray], indices: list[int]) -> bool:
    """Whether a reader gave these frames of a file."""
    return count == len(all_frames) and all(
        np.array_equal(frame, all_frames[index]) for frame, index in zip(frames, indices, strict=True)
    )


def decoded(file: Path) -> list[np.ndarray]:
    """Decode a whole file by the libraries alone.

    Raises:
        VideoError: they see that it is damaged, or is none.
    """
    try:
        with Image.open(file) as picture:
            return [np.asarray(picture.convert("RGB"))]
    except Exception:  # Pillow raises of many kinds; it is no picture, or a broken one
        pass
    frames = []
    try:
        with av.open(str(file), metadata_errors="replace") as container:
            # With several threads FFmpeg patches a damaged VP8 file in another way than in sequence.
            container.streams.video[0].thread_type = "NONE"
            for frame in container.decode(video=0):
                if frame.is_corrupt:
                    raise VideoError(file, f"frame {len(frames)} is patched")
                frames.append(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(file, str(error)) from error
    return frames

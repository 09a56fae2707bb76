"""The clips that requests bring: sent as data, or named in a folder; nothing else is opened, and nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image, UnidentifiedImageError

from datamodules.processes import raised_by_us
from datamodules.video.container import Container
from datamodules.video.image_reader import FORMATS, open_image
from video_panda.clips import Clip
from video_panda.serving.chat_request import Conversation, RefusedError

LARGEST_FRAME = 2**24  # pixels, 4096 x 4096
MOST_PIXELS = 2**28  # of all pictures that are sent as the frames of a clip
_DATA = re.compile(r"data:[^,]{0,200};base64,")


class Media:
    """Turns the addresses of a clip into a clip that is safe to open: of limited size, and in no other folder."""

    def __init__(self, folder: Path | None, seconds: float) -> None:
        """Set the limits.

        Args:
            folder: folder with the files that may be named; None for none.
            seconds: longest duration of a clip.

        Raises:
            ValueError: the folder does not exist.
        """
        if folder is not None and not folder.is_dir():
            raise ValueError(f"--media {folder} is no folder")
        self.folder = folder and folder.resolve()
        self.seconds = seconds

    @contextmanager
    def clip(self, asked: Conversation) -> Iterator[Clip | None]:
        """Yield the clip of a conversation; what was sent is in a file until the end.

        Raises:
            RefusedError: it may not be opened, is too large, or the block cannot read it.
        """
        with tempfile.TemporaryDirectory(prefix="video_panda_") as sent:
            names: dict[Path, str] = {}
            try:
                files, pixels = [], 0
                for number, address in enumerate(asked.media):
                    name = asked.field if len(asked.media) == 1 else f"{asked.field} {number + 1}"
                    files.append(self._file(address, name, Path(sent) / f"{number:06}"))
                    names[files[-1]] = name
                    pixels += self._pixels(files[-1])
                    if pixels > MOST_PIXELS:
                        raise ValueError(f"the pictures of a clip have more than {MOST_PIXELS} pixels")
                yield self._clip(files)
            except RefusedError:
                raise
            except ValueError as error:
                if not raised_by_us(error):
                    raise
                line = str(error)
                for file, name in names.items():  # folders of this machine are not for others to see
                    line = line.replace(str(file), name)
                raise RefusedError(line, "messages") from error

    def _file(self, address: str, name: str, sent: Path) -> Path:
        if head := _DATA.match(address):
            try:
                sent.write_bytes(base64.b64decode(address[head.end() :], validate=True))
            except binascii.Error as error:
                raise RefusedError(f"{name}: its data are not valid base64: {error}", "messages") from None
            return sent
        if not address.startswith("file://"):
            start = f"{address[:40]}..." if len(address) > 40 else address
            raise RefusedError(
                f"{name} is {start!r}; nothing is fetched from elsewhere: send the clip as data:video/mp4;base64,..., "
                "or name it by file:// in the folder that the server was given with --media",
                "messages",
            )
        if self.folder is None:
            raise RefusedError(f"{name} is a file, and this server was given no folder with --media", "messages")
        try:
            file = (self.folder / unquote(address.removeprefix("file://"))).resolve()
            inside = file.is_relative_to(self.folder) and file.is_file()
        except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a null character
            inside = False
        if not inside:  # the same words for what is not there, so that nothing is learnt about other folders
            raise RefusedError(f"{name} is no file in the folder that the server was given with --media", "messages")
        return file

    def _pixels(self, file: Path) -> int:
        """Return the size of a frame; what would take too much memory or time is refused by its header.

        Raises:
            ValueError: it is too large or too long, or no clip.
        """
        try:
            with Image.open(file, formats=FORMATS) as image:
                (width, height), seconds = image.size, 0.0
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
            container = Container(file)
            width, height, seconds = container.width, container.height, container.duration
            container.close()
        if width * height > LARGEST_FRAME:
            raise ValueError(f"{file}: frames of {width}x{height} are larger than {LARGEST_FRAME} pixels")
        if seconds > self.seconds:
            raise ValueError(f"{file}: {seconds:.0f} s are more than the {self.seconds:g} s that this server takes")
        return width * height

    @staticmethod
    def _clip(files: Sequence[Path]) -> Clip | None:
        """Return the file of a clip, or pictures as its frames."""
        if len(files) < 2:
            return files[0] if files else None
        frames = []
        for file in files:
            picture = open_image(file)
            if picture is None:
                raise ValueError(f"{file}: no picture; a clip in several parts is made of its frames")
            frames.append(picture.frames([0])[0])
        if len(sizes := {frame.shape[1::-1] for frame in frames}) > 1:
            raise ValueError(f"the frames of a clip must have one size, not {' and '.join(map(str, sorted(sizes)))}")
        return np.stack(frames)

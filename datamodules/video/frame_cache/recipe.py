"""The settings that decide the fitted frames of a clip, and the file format in which they are kept."""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from functools import cached_property

import av
import decord
import PIL
import safetensors.torch
import torch
from jaxtyping import UInt8
from torch import Tensor

from datamodules.video.damage import DamagedVideo
from datamodules.video.geometry import CanvasGeometry, Fit, FittedClip
from datamodules.video.resizing import Resizing
from datamodules.video.sampling import FrameSampler

# Increased whenever a reader, a sampler or a geometry gives different frames than before under the same settings.
FRAMES_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """All settings that decide the frames of one view of a clip.

    Attributes:
        sampler: choice of the frames.
        damaged: treatment of clips that can be decoded only in part.
        geometry: how frames are fitted to the canvas.
    """

    sampler: FrameSampler
    damaged: DamagedVideo
    geometry: CanvasGeometry

    @cached_property
    def text(self) -> str:
        """Text of all settings, equal in every process: class names, their settings, and versions of the libraries.

        Raises:
            ValueError: a setting cannot be written as text.
        """
        versions = {"av": av, "decord": decord, "Pillow": PIL, "torch": torch}
        programs = ", ".join(f"{name} {program.__version__}" for name, program in versions.items())
        parts = (_words(part) for part in (self.sampler, self.damaged, self.geometry))
        return f"frames {FRAMES_VERSION}; {programs}; {'; '.join(parts)}"


def _words(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, (FrameSampler, CanvasGeometry, Resizing, Fit)):
        settings = ", ".join(f"{name}={_words(setting)}" for name, setting in sorted(vars(value).items()))
        return f"{type(value).__module__}.{type(value).__qualname__}({settings})"
    raise ValueError(
        f"data.init_args.frame_cache is DiskFrameCache, which keeps frames under the settings that they come from, and"
        f" a {type(value).__name__} cannot be written down as one; it can be a number, a text, or a list of these."
        " MemoryCache and NoCache take any"
    )


def to_file(view: FittedClip, name: str) -> bytes:
    """Return the content of a file for `view`; `from_file` accepts it under the same name only."""
    rows, columns = view.canvas
    height, width = view.frames.shape[-2:]
    top, left, high, wide = (view.rectangle * torch.tensor([height // rows, width // columns] * 2)).tolist()
    # A corner outside the picture has the colour of the padding.
    fill = view.frames[0, :, 0, 0] if top or left else view.frames[0, :, -1, -1]
    kept = {
        "pixels": view.frames[..., top : top + high, left : left + wide].contiguous(),
        "place": torch.tensor([top, left, height, width]),
        "fill": fill.clone(),
        "rectangle": view.rectangle.contiguous(),
        "canvas": torch.tensor(view.canvas),
    }
    if not torch.equal(_frames(kept), view.frames):  # the geometry does not pad with a single colour
        kept |= {"pixels": view.frames.contiguous(), "place": torch.tensor([0, 0, height, width])}
    return safetensors.torch.save({**kept, "checksum": _checksum(name, kept)})


def from_file(content: bytes, name: str) -> FittedClip:
    """Return the view in a file.

    Raises:
        SafetensorError, KeyError, ValueError: the file is damaged or belongs to another name.
    """
    kept = safetensors.torch.load(content)
    if not torch.equal(kept.pop("checksum"), _checksum(name, kept)):
        raise ValueError("its checksum is wrong")
    rows, columns = kept["canvas"].tolist()
    return FittedClip(_frames(kept), kept["rectangle"], (rows, columns))


def _frames(kept: dict[str, Tensor]) -> UInt8[Tensor, "frames 3 height width"]:
    """Return the frames with their padding restored."""
    pixels = kept["pixels"]
    top, left, height, width = kept["place"].tolist()
    frames = torch.empty(*pixels.shape[:2], height, width, dtype=torch.uint8)
    if pixels.shape != frames.shape:
        frames[:] = kept["fill"].view(3, 1, 1)
    frames[..., top : top + pixels.shape[-2], left : left + pixels.shape[-1]] = pixels
    return frames


def _checksum(name: str, kept: dict[str, Tensor]) -> Tensor:
    """Return a checksum of name and content; safetensors itself has none."""
    checksum = zlib.crc32(name.encode())
    for key, tensor in sorted(kept.items()):
        checksum = zlib.crc32(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.numpy().data, checksum)
    return torch.tensor(checksum)

"""The file format of fitted frames that are kept on disk, without their padding and with a checksum."""

from __future__ import annotations

import zlib

import safetensors.torch
import torch
from jaxtyping import UInt8
from torch import Tensor

from datamodules.video.geometry import FittedClip


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

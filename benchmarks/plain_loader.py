"""Loading a clip as one would first write it, from the paper and the official behaviour: what `datamodules` is up to.

decord reads the sampled frames, and every frame is resized, padded, turned into floats, normalised and given its mask
by itself, for one view after the other. Only clips that decord reads exactly are covered. Left out, to the advantage of
this one: the official code also scales and crops once more, which changes nothing, and tokenises.
"""

from collections.abc import Sequence
from pathlib import Path

import decord
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from components.encoders import VideoEncoder
from datamodules.video.sampling import FrameSampler

STUDENT, TEACHER = (448, 28), (224, 14)  # sides of a canvas, and of the unit that the shorter side is rounded up to
FILL = tuple(int(255 * value) for value in VideoEncoder.pixel_mean)
MEAN, STD = (torch.tensor(value).view(3, 1, 1) for value in (VideoEncoder.pixel_mean, VideoEncoder.pixel_std))


def plain_frames(path: Path, sampler: FrameSampler) -> np.ndarray:
    """Return the sampled frames (frames, height, width, 3)."""
    reader = decord.VideoReader(str(path), num_threads=1)
    frames: np.ndarray = reader.get_batch(sampler.indices(len(reader), reader.get_avg_fps())).asnumpy()
    return frames


def plain_view(frames: np.ndarray, canvas: int, unit: int) -> Tensor:
    """Return normalised canvases with their mask, (frames, 4, canvas, canvas)."""
    units = canvas // unit
    height, width = frames.shape[1:3]
    high, wide = (-(-units * side // max(height, width)) for side in (height, width))
    top, left, high, wide = (units - high) // 2 * unit, (units - wide) // 2 * unit, high * unit, wide * unit
    done = []
    for frame in frames:
        picture = Image.new("RGB", (canvas, canvas), FILL)
        picture.paste(Image.fromarray(frame).resize((wide, high), Image.Resampling.BICUBIC), (left, top))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        mask = torch.zeros(1, canvas, canvas)
        mask[:, top : top + high, left : left + wide] = 1
        done.append(torch.cat([(pixels - MEAN) / STD, mask]))
    return torch.stack(done)


class PlainClips(Dataset[list[Tensor]]):
    """The views of each clip."""

    def __init__(self, clips: Sequence[Path], sampler: FrameSampler, views: Sequence[tuple[int, int]]) -> None:
        """Keep what to read."""
        self.clips, self.sampler, self.views = clips, sampler, views

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> list[Tensor]:
        frames = plain_frames(self.clips[index], self.sampler)
        return [plain_view(frames, *view) for view in self.views]


def stack_plain(samples: Sequence[list[Tensor]]) -> list[Tensor]:
    """Put clips into a batch, view by view; they may differ in their number of frames."""
    return [torch.cat(views) for views in zip(*samples, strict=True)]

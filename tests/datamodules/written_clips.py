"""Clips of known frames, in codings that decoders differ about."""

import av
import numpy as np

OPEN_GROUPS = {"bf": "3", "g": "20", "x264-params": "open-gop=1:b-pyramid=normal:keyint=20:scenecut=0"}
# What decord was seen to get wrong without an error (or not tried on) comes first, what it reads right below.
KINDS = {
    "open_groups.mp4": ("libx264", OPEN_GROUPS, "pyav"),
    "open_groups.mkv": ("libx264", OPEN_GROUPS, "pyav"),
    "b_frames.avi": ("libx264", {"bf": "3", "g": "20"}, "pyav"),
    "mpeg4.mp4": ("mpeg4", {"g": "12"}, "pyav"),
    "mpeg4_b_frames.mp4": ("mpeg4", {"bf": "2", "g": "12"}, "pyav"),
    "closed_groups.mp4": ("libx264", {"bf": "3", "g": "20"}, "decord"),
    "closed_groups.mkv": ("libx264", {"bf": "3", "g": "20"}, "decord"),
    "hidden_reference.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "g": "30", "deadline": "realtime"}, "decord"),
}


def write_clip(path, codec="libx264", frames=60, options=(), size=(96, 64), format=None, muxing=()):
    """Write a clip whose frames all differ clearly."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w", format=format, options=dict(muxing)) as file:
        stream = file.add_stream(codec, rate=25, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        file.start_encoding()
        for t in range(frames):
            picture = np.stack([x * 2 + 7 * t, y * 3 + 5 * t, x + y + 11 * t], -1).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path

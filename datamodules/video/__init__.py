"""From a video file to frames on an encoder's canvas: readers, sampling, geometry."""

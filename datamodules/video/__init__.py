"""Turns a video file into frames on an encoder's canvas: readers, sampling, geometry."""

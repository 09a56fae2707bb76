"""Trained models in Python: `VideoPanda.from_pretrained("models/full").ask("clip.mp4", "What is shown?")`."""

from video_panda.model import VideoPanda

__all__ = ["VideoPanda"]

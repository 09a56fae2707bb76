"""Caches of fitted frames for the next epoch or the next run: the family `frame_cache`."""

from datamodules.video.frame_cache.disk import DiskFrameCache
from datamodules.video.frame_cache.frame_cache import FrameCache, MemoryCache, NoCache, Views
from datamodules.video.frame_cache.recipe import Recipe

__all__ = ["DiskFrameCache", "FrameCache", "MemoryCache", "NoCache", "Recipe", "Views"]

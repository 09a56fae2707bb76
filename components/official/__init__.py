"""The format of the released checkpoint: its names and ours, its folders, and the way there and back."""

from components.official.names import LoadReport, load_official, our_names, to_official, to_ours

__all__ = ["LoadReport", "load_official", "our_names", "to_official", "to_ours"]

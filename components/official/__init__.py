"""Conversion between the released checkpoint and our models: names of tensors, folders, import and export."""

from components.official.names import LoadReport, load_official, our_names, to_official, to_ours

__all__ = ["LoadReport", "load_official", "our_names", "to_official", "to_ours"]

"""Checks clips before a training: what is in each file, which files are doubtful, and which are duplicates."""

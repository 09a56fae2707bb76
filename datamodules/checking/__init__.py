"""Checks clips before a training: what is in each file, which of them are doubtful, and which are there twice."""

"""Comparison, judging and sweeps of runs: these programs know run folders, not models."""

"""Reads run folders and says what mattered; knows runs, not models."""

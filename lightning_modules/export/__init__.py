"""Model folders that stand for themselves, and checkpoints in the official format."""

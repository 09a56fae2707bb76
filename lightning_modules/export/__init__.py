"""Self-contained model folders, and checkpoints in the official format."""

"""What a training does beside the model: its input, stages, strategies, checkpoints and where it starts from."""

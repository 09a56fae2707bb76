"""Training beside the model itself: model input, stages, strategies, checkpoints and initial weights."""

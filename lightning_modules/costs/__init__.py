"""The costs of a model before it is trained: `video-panda profile` and `video-panda plan`."""

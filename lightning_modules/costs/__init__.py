"""What a model costs, told before it is trained: `video-panda profile` and `video-panda plan`."""

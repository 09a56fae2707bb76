"""A conversation in the terminal: `video-panda chat`."""

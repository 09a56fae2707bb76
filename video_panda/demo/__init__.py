"""A page in the browser: `video-panda demo`."""

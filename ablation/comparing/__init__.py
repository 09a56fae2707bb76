"""`video-panda compare`: what finished runs differ in, what they score, and which differences are more than chance."""

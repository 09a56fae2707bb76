"""`video-panda compare`: settings and scores of finished runs, and which differences are more than chance."""

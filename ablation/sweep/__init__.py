"""`video-panda sweep`: trains experiments x seeds x settings as a list of jobs, which can be resumed after a kill."""

"""`video-panda sweep`: experiments, seeds and what else is varied, trained as one list of jobs that survives a kill."""

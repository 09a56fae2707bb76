"""`video-panda reproduce`: tables of the paper, with our results beside the paper's numbers."""

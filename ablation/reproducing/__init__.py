"""`video-panda reproduce`: a table of the paper, with what its rows come to here beside the paper's numbers."""

"""The training stages of the paper (Table 6), in their order."""

STAGES = ("configs/stage/align.yaml", "configs/stage/integrate.yaml", "configs/stage/instruct.yaml")

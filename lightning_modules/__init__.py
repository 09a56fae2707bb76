"""Assembles components and data into runs: the LightningModule, stages, callbacks and the command line."""

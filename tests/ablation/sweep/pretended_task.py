"""A task of a cluster whose training does to a run folder what a training does, at once."""

import sys
from pathlib import Path

from ablation.sweep import slurm, training
from ablation.sweep.slurm import Task

PROGRAM = str(Path(__file__).with_name("pretended_training.py"))


class PretendedTask(Task):
    def __init__(self, how, *arguments):
        super().__init__(*arguments)
        self.how = how

    def __call__(self):
        slurm.POLL = slurm.BUSY = 0.1
        training.command = lambda words: [sys.executable, PROGRAM, self.how, *words]
        return super().__call__()

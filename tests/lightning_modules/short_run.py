"""The run that most tests of whole runs look at: two epochs of two steps."""

import csv

NO_LSTE = ("--config", "experiments/no_lste.yaml")
SHORT = ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--trainer.check_val_every_n_epoch=1")


def losses(folder, name="metrics.csv"):
    with (folder / name).open() as file:
        return [row["train/loss"] for row in csv.DictReader(file) if row.get("train/loss")]

"""The run that most tests of whole runs look at, and the one on real clips that two processes share."""

import csv

NO_LSTE = ("--config", "experiments/no_lste.yaml")
SHORT = ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--trainer.check_val_every_n_epoch=1")

# Batch normalisation by clip, or the batch of one process would matter.
REAL_CLIPS_BY_CLIP = (
    "--config=experiments/clip_statistics.yaml",
    "--config=configs/data/real_clips.yaml",
    "--model.encoder.dropout=0",
    "--model.stage.global_batch=2",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=0",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--test_after_fit=false",
)


def losses(folder, name="metrics.csv"):
    with (folder / name).open() as file:
        return [row["train/loss"] for row in csv.DictReader(file) if row.get("train/loss")]

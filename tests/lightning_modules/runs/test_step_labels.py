"""Figures of a run that was stopped, and went on, stand at the steps of one that was not."""

import csv

import pytest

from ablation.comparing.curves import read_curve
from tests.lightning_modules.short_run import NO_LSTE

LONG = ("--data.train_clips=8", "--trainer.log_every_n_steps=2", "--trainer.check_val_every_n_epoch=3")
SPEED = ("speed/clips_per_second", "speed/data_wait_share")


class Killed(BaseException):
    pass


def curves(folder):
    """Figure -> step -> value, over all that was written before and after each stop."""
    names = {name for file in folder.glob("metrics*.csv") for name in next(csv.reader(file.open()))}
    return {name: read_curve(folder, name) for name in names - {"step"}}


def shown(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


@pytest.mark.long
def test_a_run_that_was_killed_three_times_has_the_labels_of_one_that_was_not(run, tmp_path, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    def killed_at(stop):
        def killed(self, batch, batch_idx):
            if self.trainer.global_step == stop:
                raise Killed
            return step(self, batch, batch_idx)

        return killed

    settings = tmp_path / "often.yaml"
    settings.write_text("trainer: {callbacks: [{class_path: LastCheckpoint, init_args: {every_n_steps: 3}}]}")
    words = [*NO_LSTE, f"--config={settings}", "--name=run", *LONG, "--trainer.max_epochs=3"]
    whole = run("fit", *words)
    assert whole.trainer.global_step == 12
    again, step = [], VideoLanguageModel.training_step
    for stop in (3, 7, 11):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(VideoLanguageModel, "training_step", killed_at(stop))
            run("fit", *words, *again)
        again = [f"--ckpt_path={whole.folder.with_name('seed_0.2') / 'checkpoints' / 'last.ckpt'}"]
    stopped = run("fit", *words, *again)
    assert len(list(stopped.folder.glob("metrics*.csv"))) == 4
    first, second = curves(whole.folder), curves(stopped.folder)
    assert {name: [*figure] for name, figure in second.items()} == {name: [*figure] for name, figure in first.items()}
    assert [*first["train/loss"]] == [1, 3, 5, 7, 9, 11]
    for name in first.keys() - {*SPEED, "train/minutes"}:
        assert second[name] == first[name], name
    assert shown(stopped.folder, "train/loss") == shown(whole.folder, "train/loss")
    longer = run("fit", *words, "--trainer.max_epochs=4", again[0])
    assert [*curves(longer.folder)["train/loss"]] == [1, 3, 5, 7, 9, 11, 13, 15]

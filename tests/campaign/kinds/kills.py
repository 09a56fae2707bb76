"""Processes killed at any point with a signal that none can handle, and continued."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from datamodules.checking.check import check
from lightning_modules.scoring.answer_store import AnswerStore
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.kinds.finished_run import finished_run, train
from tests.datamodules.written_clips import write_clip


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed after a while; whether it was still at it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


class KilledWriter(Kind):
    """Answers and manifests: nothing that was written is lost, nothing is there twice."""

    name, share = "kill -9, a writer", 0.05

    def prepare(self, folder: Path) -> None:
        """Write clips, and check them without a kill."""
        media = folder / "media"
        media.mkdir()
        self.clips = {name: write_clip(media / name, frames=6) for name in (f"{number}.mp4" for number in range(6))}
        self.sha256 = check(self.clips, folder / "checked", 8, 1).sha256

    def damage(self, random: Random, folder: Path) -> str:
        """Choose who is killed, and when."""
        self.who, self.moment = random.choice(("answers", "manifest")), random.uniform(0.0, 0.4)
        return f"{self.who} after {self.moment * 1000:.0f} ms"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Kill it, twice, and go on."""
        work = self._answer if self.who == "answers" else self._check
        for _ in range(2):
            killed_after(self.moment, lambda: work(folder))
        work(folder)
        return Outcome.RIGHT

    def _check(self, folder: Path) -> None:
        if check(self.clips, folder, 8, 1).sha256 != self.sha256:
            raise WrongError("another manifest than without a kill")

    def _answer(self, folder: Path) -> None:
        store = AnswerStore(folder, "test")
        store.begin({"model": "m"}, must_continue=False)
        answered = store.answered()
        for number in range(100):
            if f"q{number}" not in answered:
                store.append([{"id": f"q{number}", "prediction": "é" * number}])
                time.sleep(0.002)
        rows = [json.loads(line) for line in store.path.read_text(encoding="utf-8").splitlines()]
        if sorted(row["id"] for row in rows) != sorted(f"q{number}" for number in range(100)):
            raise WrongError(f"{len(rows)} answers of 100")


class KilledTraining(Kind):
    """A training that was killed and goes on has the steps and the losses of one that was not."""

    name, share, seconds = "kill -9, a training", 0.02, 240
    flags = ("--trainer.max_steps=8", "--trainer.limit_val_batches=0", "--test_after_fit=false", "--trainer.callbacks+="
             '{"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 2}}')  # fmt: skip

    def prepare(self, folder: Path) -> None:
        """Train without a kill."""
        self.parent = folder.parent.parent
        finished_run(self.parent)
        self.right = losses(train(self.parent / "finished_run", "--name=whole", *self.flags))
        assert len(self.right) == 8

    def damage(self, random: Random, folder: Path) -> str:
        """Choose when it is killed."""
        self.times = [random.uniform(0.3, 4.0) for _ in range(random.randint(1, 2))]
        return f"after {', '.join(f'{seconds:.2f}' for seconds in self.times)} s"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Kill it, once or twice, go on from what it kept, and compare."""
        for seconds in self.times:
            killed_after(seconds, lambda: self._train(folder))
        done = losses(self._train(folder))
        if done != self.right:
            raise WrongError(f"{done} instead of {self.right}")
        return Outcome.RIGHT

    def _train(self, folder: Path) -> Path:
        clips = f"--data.root={self.parent / 'finished_run' / 'clips'}"
        kept = folder / "runs" / "campaign" / "seed_0" / "checkpoints" / "last.ckpt"
        begun = kept.parent.parent
        if begun.exists() and not kept.exists():
            begun.rename(folder / f"nothing_kept_{time.monotonic_ns()}")
        return train(folder, clips, *self.flags, *([f"--ckpt_path={kept}"] if kept.exists() else []))


def losses(run: Path) -> dict[int, float]:
    """Return step -> loss of all that a run wrote, also before it went on; the last word about a step counts."""
    by_step: dict[int, float] = {}
    for file in sorted(run.glob("metrics*.csv"), key=lambda path: (path.name == "metrics.csv", path.name)):
        with file.open() as rows:
            by_step |= {int(row["step"]): float(row["train/loss"]) for row in csv.DictReader(rows) if row["train/loss"]}
    return dict(sorted(by_step.items()))

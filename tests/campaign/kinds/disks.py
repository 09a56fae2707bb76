"""Disks that fill up, and folders that may not be written."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from random import Random

from lightning_modules.cli import main
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.kinds.finished_run import SIZE, copied_run, finished_run
from tests.datamodules.written_clips import write_clip

NOBODY = 65534


class Writing(Kind):
    """Programs that write: what was there before stays whole."""

    def prepare(self, folder: Path) -> None:
        """Train for a moment, and write two clips."""
        self.parent = folder.parent.parent
        self.run = finished_run(self.parent)
        self.media = folder / "media"
        self.media.mkdir()
        for number in range(2):
            write_clip(self.media / f"{number}.mp4", frames=8)

    def damage(self, random: Random, folder: Path) -> str:
        """Choose a program, and what it is to write over."""
        runs = [copied_run(self.run, folder / name) for name in ("one", "two")]
        runs[1].parent.rename(runs[1].parent.with_name("another"))
        runs[1] = runs[1].parent.with_name("another") / runs[1].name
        self.target = folder / "target"
        self.target.mkdir()
        self.before = self.target / "report.html"
        self.before.write_text("what was there")
        program = random.choice(("fit", "check-data", "compare", "export"))
        clips = self.parent / "finished_run" / "clips"
        self.words = {
            "fit": ["fit", *SIZE, f"--data.root={clips}", f"--runs={self.target}", "--trainer.max_steps=1"],
            "check-data": ["check-data", str(self.media), f"--out={self.target}", "--workers=1"],
            "compare": ["compare", *map(str, runs), f"--html={self.before}"],
            "export": ["export", str(runs[0]), f"--out={self.target / 'exported'}"],
        }[program]
        return program

    def use(self, random: Random, folder: Path) -> Outcome:
        """Run the program under the limit."""
        self.limit(random, folder)
        try:
            main(self.words)
        finally:
            if self.before.exists() and os.access(self.before, os.R_OK):
                text = self.before.read_text()
                if text != "what was there" and not text.rstrip().endswith("</html>"):
                    raise WrongError(f"half a file: {text[-80:]!r}")
        return Outcome.RIGHT

    def limit(self, random: Random, folder: Path) -> None:
        """Take from this process what it needs."""
        raise NotImplementedError


class FullDisk(Writing):
    """No file can grow beyond some size."""

    name, share = "full disk", 0.05

    def limit(self, random: Random, folder: Path) -> None:
        """Choose the size."""
        size = random.choice((0, 100, 1000, 10_000, 100_000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class NoRight(Writing):
    """The folder to be written is of another user, is a file, is a link to itself, or has too long a name."""

    name, share = "no right", 0.05

    def limit(self, random: Random, folder: Path) -> None:
        """Choose an obstacle."""
        obstacle = random.choice(("right", "file", "loop", "name", "files"))
        place = self.target
        match obstacle:
            case "right":
                place.chmod(0o555)
                if os.getuid() == 0:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
            case "file":
                self.before.unlink()
                place.rmdir()
                place.write_text("a file")
            case "loop":
                self.before.unlink()
                place.rmdir()
                place.symlink_to(place)
            case "name":
                self.words = [word.replace(str(place), str(place / ("x" * 300))) for word in self.words]
            case _:
                resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 1,) * 2)

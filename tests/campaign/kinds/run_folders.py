"""Damaged files of a run's folder, which `show` and `compare` look at."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from ablation.comparing.command import main as compare
from lightning_modules.programs.show import main as show
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.kinds.finished_run import copied_run, finished_run
from tests.campaign.mutations import changed_value, with_block

TEXTS = (".json", ".jsonl", ".csv", ".yaml", ".txt")


class RunFolders(Kind):
    """What is shown is what the run wrote; or there is an error or a remark that names the file."""

    name, share = "run folder", 0.12

    def prepare(self, folder: Path) -> None:
        """Train for a moment, and keep what is shown of it."""
        self.run = finished_run(folder.parent.parent)
        self.files = sorted(
            path.relative_to(self.run) for path in self.run.rglob("*") if path.suffix in TEXTS and path.stat().st_size
        )

    def names(self) -> tuple[str, ...]:
        """Return the names of the files, and that of the run, which a comparison calls by it."""
        return (*{file.name for file in self.files}, f"{self.run.parent.name}/{self.run.name}")

    def damage(self, random: Random, folder: Path) -> str:
        """Put noise into a file, give its JSON an odd value, cut it, or put something else in its place."""
        copy = copied_run(self.run, folder / "damaged")
        other = copied_run(self.run, folder / "other")
        other.parent.rename(other.parent.with_name("another"))
        self.pair = (copy, other.parent.with_name("another") / other.name)
        self.file = random.choice(self.files)
        path, self.visible = copy / self.file, True
        ways = ["noise", "cut", "folder", "empty", *(["value"] * 3 if path.suffix in (".json", ".jsonl") else [])]
        match random.choice(ways):
            case "noise":
                content, what = with_block(random, path.read_bytes())
                path.write_bytes(content)
            case "cut":
                size = random.randrange(path.stat().st_size)
                path.write_bytes(path.read_bytes()[:size])
                what = f"cut to {size} bytes"
            case "folder":
                path.unlink()
                path.mkdir()
                what = "a folder"
            case "empty":
                path.write_bytes(b"")
                what = "empty"
            case _:
                what = self._change_value(random, path)
        return f"{self.file}, {what}"

    def _change_value(self, random: Random, path: Path) -> str:
        if path.suffix == ".json":
            changed, what = changed_value(random, json.loads(path.read_text()))
            path.write_text(json.dumps(changed))
            return what
        lines = path.read_text().splitlines()
        number = random.randrange(len(lines))
        changed, what = changed_value(random, json.loads(lines[number]))
        lines[number] = json.dumps(changed)
        path.write_text("\n".join(lines) + "\n")
        return f"line {number + 1}, {what}"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Show the run, or compare it with another."""
        damaged, other = self.pair
        command: Callable[[list[str]], None]
        command, words = random.choice(((show, [str(damaged)]), (compare, [str(damaged), str(other)])))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            command(words)
        text = printed.getvalue()
        if re.search(r"\b(nan|inf|infinity)\b", text, re.IGNORECASE):
            raise WrongError(f"{words}: no numbers in what is shown: {text[-500:]}")
        return Outcome.RIGHT

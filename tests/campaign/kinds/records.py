"""Damaged files of training records."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from datamodules.records.loading import load_records
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.mutations import changed_bytes, changed_value, with_key_twice

NAMES = ("a.mp4", "b.avi", "ä.webm")


class Records(Kind):
    """Every text that a file holds is in the records, as many as it has; or there is an error."""

    name, share = "json", 0.2

    def prepare(self, folder: Path) -> None:
        """Write the files that the records name; nothing looks into them here."""
        self.media = folder / "media"
        self.media.mkdir()
        for name in NAMES:
            (self.media / name).write_bytes(b"clip")
        self.records: list[dict[str, Any]] = [
            {
                "id": f"r{number}",
                "video": NAMES[number % len(NAMES)],
                "conversations": [
                    {"from": "human", "value": f"<video>\nquestion {number}"},
                    {"from": "gpt", "value": f"answer {number}"},
                    {"from": "human", "value": f"more {number}"},
                    {"from": "gpt", "value": "日本語 é"},
                ],
            }
            for number in range(5)
        ]

    def damage(self, random: Random, folder: Path) -> str:
        """Change a value, write a key twice, or change bytes of the file."""
        lines = random.random() < 0.4
        self.file = folder / ("train.jsonl" if lines else "train.json")
        self.twice, way = False, random.random()
        if way < 0.5:
            records, what = changed_value(random, self.records)
        elif way < 0.65:
            text, what = with_key_twice(random, self.records)
            self.twice, lines, self.file = True, False, folder / "train.json"
            self.file.write_text(text)
            return what
        else:
            records, what = self.records, "as it is"
        ascii_only = random.random() < 0.5
        text = (
            "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
            if lines
            else json.dumps(records, ensure_ascii=ascii_only, indent=random.choice((None, 1)))
        )
        content = text.encode()
        if way >= 0.65 and random.random() < 0.7:
            content, what = changed_bytes(random, content)
        if random.random() < 0.1:
            content, what = b"\xef\xbb\xbf" + content, f"{what}, behind a byte order mark"
        self.file.write_bytes(content)
        return f"{self.file.name}, {what}"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Load it."""
        table = load_records(self.file, self.media)
        if self.twice:
            raise WrongError("a key that stands twice was taken")
        text = self.file.read_bytes().decode("utf-8-sig")
        items = (
            [json.loads(line) for line in text.split("\n") if line.strip()]
            if self.file.suffix == ".jsonl"
            else json.loads(text)
        )
        if len(table) != len(items):
            raise WrongError(f"{len(table)} records of {len(items)}")
        for record, item in zip(table, items, strict=True):
            texts = [turn["value"] for turn in item["conversations"]]
            kept = [part for turn in record.turns for part in (turn.question, turn.answer)]
            if [plain(part) for part in texts] != [plain(part) for part in kept]:
                raise WrongError(f"the file says {texts}, the record {kept}")
            if isinstance(item.get("id"), str) and record.id != item["id"]:
                raise WrongError(f"the id {item['id']!r} became {record.id!r}")
            if item.get("video") is not None and (
                record.video is None or record.video.name != Path(item["video"]).name
            ):
                raise WrongError(f"the clip {item['video']!r} became {record.video}")
        return Outcome.RIGHT if items == self.records else Outcome.UNSEEN


def plain(text: str) -> str:
    """Return a text without the tag of the clip, and the white space that goes with it."""
    return text.replace("<video>", "").replace("<image>", "").strip()

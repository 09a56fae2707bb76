"""Damaged config files."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import yaml

from lightning_modules.resolve import resolve_files
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.mutations import changed_bytes

GOOD = """\
base: {base}
name: campaign
model:
  encoder:
    init_args:
      local_encoding: NoLocalEncoding
      width: 96
      dropout: 0.2
  max_new_tokens: 3
data:
  init_args:
    canvas: 72
    batch_size: 8
    train_clips: 16
trainer:
  max_epochs: 2
  gradient_clip_val: 0.5
"""
ODD = (
    "null", "-1", "0", "1.5", ".inf", ".nan", "2026-13-45", "2026-11-29", "1" + "0" * 5000, "1e400", "[1, 2]", "{a: 1}",
    "''", "'x'", "!!python/object:os.system x", "!!binary aGk=", "&a [*a]", "*nowhere", "${nowhere}", "${oc.env:HOME}",
    "${oc.env:NOT_THERE}", "${", "${here}", "${model.max_new_tokens}", "yes", "0o17", "0x1F", "1_000", "~", "12:30:45",
    "[" * 3000 + "]" * 3000, "Cosine", "NoLSTE", "!!set {a}", "? x", "- x", "|\n  x", "%",
)  # fmt: skip
BOMB = "bomb:\n  a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  {new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_LINE = re.compile(r"^(\s*)(\w+):(.*)$")


class Configs(Kind):
    """What a file sets is what is trained with; or there is an error."""

    name, share, seconds = "yaml", 0.14, 90

    def prepare(self, folder: Path) -> None:
        """Resolve the undamaged file, so that whatever is made once is made."""
        self.good = GOOD.format(base=Path("experiments/full.yaml").absolute())
        file = folder / "campaign.yaml"
        file.write_text(self.good)
        self.right = resolve_files([str(file)]).config.as_dict()

    def names(self) -> tuple[str, ...]:
        """Return the keys of the file, one of which must be in a message if not the file's name."""
        return ("campaign.yaml", *re.findall(r"\w+", GOOD.replace("{base}", "")))

    def damage(self, random: Random, folder: Path) -> str:
        """Give a key an odd value, another name or a second place, put a bomb in, or change bytes."""
        lines = self.good.splitlines()
        number = random.randrange(1, len(lines))
        indent, key, value = _LINE.match(lines[number]).groups()  # type: ignore[union-attr]
        self.must_fail, content = False, b""
        match random.choice(("value", "value", "value", "value", "twice", "misspelt", "bomb", "bytes", "as it is")):
            case "value":
                odd = random.choice(ODD)
                lines[number] = f"{indent}{key}: {odd}"
                inside = [line for line in lines[number + 1 :] if line.startswith(f"{indent} ")]
                if not value.strip() and inside:
                    lines[number + 1 : number + 1 + len(inside)] = []
                what = f"{key}: {odd[:40]}"
            case "twice":
                lines.append(f"{key}: {value.strip() or '{}'}" if not indent else f"model: {{{key}: 1}}")
                self.must_fail, what = True, f"{lines[-1]!r} once more"
            case "misspelt":
                lines[number] = f"{indent}{key}l: {random.choice(('{}', 'null', value or 'null'))}"
                lines = lines[: number + 1]
                self.must_fail, what = True, f"{lines[-1]!r}"
            case "bomb":
                lines, what, self.must_fail = [*lines, BOMB], "a bomb of aliases", True
            case "bytes":
                content, what = changed_bytes(random, self.good.encode())
            case _:
                what = "as it is"
        self.file = folder / "campaign.yaml"
        self.file.write_bytes(content or "\n".join(lines).encode())
        return what

    def use(self, random: Random, folder: Path) -> Outcome:
        """Resolve it as `fit` does."""
        config = resolve_files([str(self.file)]).config.as_dict()
        if self.must_fail:
            raise WrongError("it was taken")
        text = self.file.read_text(encoding="utf-8")
        try:
            content = yaml.safe_load(text) or {}
        except ValueError:  # an impossible date, which a plain reader of YAML stops at, is a text like any other
            content = yaml.safe_load(text.replace("2026-13-45", "'2026-13-45'")) or {}
        for path, value in leaves({key: item for key, item in content.items() if key not in ("base", "name")}):
            used = config
            for key in path:
                used = used[key]
            if not same(used, value):
                raise WrongError(f"{'.'.join(path)} is {value!r} in the file, {used!r} in use")
        return Outcome.RIGHT if plain(config) == plain(self.right) else Outcome.UNSEEN


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the paths of its files."""
    return {key: value for key, value in config.items() if key not in ("config", "base")}


def leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return path and value of everything that is not a mapping."""
    pairs = []
    for key, item in value.items():
        pairs += leaves(item, (*path, key)) if isinstance(item, dict) and item else [((*path, key), item)]
    return pairs


def same(used: Any, value: Any) -> bool:
    """Whether a setting in use is what the file says: a class by its name, a number whatever its type."""
    if isinstance(value, str) and "${" in value:
        return "${" not in str(used)
    if isinstance(used, dict) and isinstance(value, str):
        return str(used.get("class_path", "")).rsplit(".", 1)[-1] == value.rsplit(".", 1)[-1]
    if isinstance(value, int | float) and isinstance(used, int | float):
        return float(used) == float(value) or value != value
    return value in (None, {}) or str(used) == str(value) or str(used).endswith(f".{value}")

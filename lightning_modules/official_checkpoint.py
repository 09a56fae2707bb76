"""`video-panda import-official` and `export-official`: the released checkpoint as a model of ours, and back."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from components.official.exporting import export_official
from components.official.importing import import_official
from lightning_modules.user_errors import user_errors


def _folders(program: str, about: str, source: str, args: Sequence[str]) -> tuple[Path, Path]:
    parser = argparse.ArgumentParser(prog=f"video-panda {program}", description=about)
    parser.add_argument("source", type=Path, help=source)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    known = parser.parse_args(args)
    return known.source, known.out


def main_import(args: Sequence[str]) -> None:
    """Import a checkpoint, say what became of its keys, and how to use it."""
    about = "Makes a model folder of an official checkpoint."
    source, out = _folders("import-official", about, "folder with config.json, weights and tokenizer", args)
    with user_errors():
        report = import_official(source, out)
    print(
        "\n".join(
            [
                *report.lines(),
                f"written to {out}; to test it:",
                "  python -m lightning test --config experiments/full.yaml --config configs/scale/paper.yaml "
                f"--config {out / 'config.yaml'} --config DATA.yaml",
            ]
        )
    )


def main_export(args: Sequence[str]) -> None:
    """Write an imported model in the official format again."""
    about = "Makes an official checkpoint of a model folder that import-official made."
    source, out = _folders("export-official", about, "model folder", args)
    with user_errors():
        count = export_official(source, out)
    print(f"{count} tensors written to {out}")

"""The tiny language model that comes with the project and can read, as the paper's can before it sees a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import logging

from components.adapters import Adapter, NoAdapter
from components.language_models.pretrained_causal_lm import PretrainedCausalLM
from components.language_models.prompt import PromptFormat, ShortPrompt

FOLDER = Path(__file__).with_name("tiny_llama")
SHA256 = {
    "config.json": "4f8b75526d7f599dcdbb935431e0cb679c425e388fe10a863d0d4e1740a31701",
    "model.safetensors": "2cb5cf40693bccef0fc431971198d55453c98a353b8b995012b2e85a83a08f69",
    "tokenizer.json": "9b4a3aab8c06e23f74c3563ec0460ad5d3bfdfa05ebe19a3fea374101ad165dd",
}
"""Of the files in `FOLDER` that decide what the language model says."""


class PretrainedTinyLlama(PretrainedCausalLM):
    """A small Llama that has learnt to read questions about scenes in symbols (`video-panda pretrain-tiny`).

    What it has learnt from, and how well it reads, is in its card, `tiny_llama/README.md`.

    Args:
        prompt: format of conversations; the one that it has learnt by default.
        adapter: what learns when the language model is trained.

    Raises:
        ValueError: its files are missing, damaged, or others than those that came with this version of the project.
    """

    def __init__(
        self, prompt: Callable[[], PromptFormat] = ShortPrompt, adapter: Callable[[], Adapter] = NoAdapter
    ) -> None:
        for name, sha256 in SHA256.items():
            _check(FOLDER / name, sha256)
        with _no_progress_bar():
            super().__init__(str(FOLDER), prompt, adapter=adapter)
        self.source = type(self).__name__  # a place on this machine tells others nothing


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from showing the progress of what takes no time."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check(file: Path, sha256: str) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{file}, of PretrainedTinyLlama, cannot be read: {error.strerror}") from None
    if found != sha256:
        raise ValueError(
            f"{file}, of PretrainedTinyLlama, is not the file that came with this version: its SHA-256 is {found}, not "
            f"{sha256}; install the project anew, or name a folder of your own with PretrainedCausalLM"
        )

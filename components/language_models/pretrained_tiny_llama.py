"""The tiny pretrained language model of the project, which can read before it sees a video, like that of the paper."""

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
"""Hashes of the files in `FOLDER` that decide the answers of the language model."""


class PretrainedTinyLlama(PretrainedCausalLM):
    """A small Llama that was trained to answer questions about scenes in symbols (`video-panda pretrain-tiny`).

    Its card, `tiny_llama/README.md`, describes its training data and its accuracy.

    Args:
        prompt: format of conversations; the default is the one it was trained with.
        adapter: parameters that are trained when the language model is trained; NoAdapter trains all weights.

    Raises:
        ValueError: its files are missing, damaged, or not those of this version of the project.
    """

    def __init__(
        self, prompt: Callable[[], PromptFormat] = ShortPrompt, adapter: Callable[[], Adapter] = NoAdapter
    ) -> None:
        for name, sha256 in SHA256.items():
            _check(FOLDER / name, sha256)
        with _no_progress_bar():
            super().__init__(str(FOLDER), prompt, adapter=adapter)
        self.source = type(self).__name__  # a path on this machine would mean nothing elsewhere


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Hide the progress bars of transformers, since loading takes no time."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check(file: Path, sha256: str) -> None:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{file}, of PretrainedTinyLlama, cannot be read: {error.strerror}") from None
    if digest != sha256:
        raise ValueError(
            f"{file}, of PretrainedTinyLlama, is not the file that came with this version: its SHA-256 is {digest}, "
            f"not {sha256}; install the project anew, or name a folder of your own with PretrainedCausalLM"
        )

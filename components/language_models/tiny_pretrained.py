"""The tiny language model that comes with the project and can read, as the paper's can before it sees a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from components.adapters import Adapter, NoAdapter
from components.language_models.pretrained import PretrainedCausalLM
from components.language_models.prompt import PromptFormat, ShortPrompt

FOLDER = Path(__file__).with_name("tiny_llama")
SHA256 = {
    "config.json": "f01b2def539bd66dd5a60fb7853914bbe218bb1cd73e5f9da233ea86ade9e970",
    "model.safetensors": "98df812c18529fa5ef0b227dc75837cc9daa9e25bf37159dc9c0267833c21af6",
    "tokenizer.json": "e28d13da0d30b06b44347ca8cb870d95645324a6f349cd00d1a810681686bf87",
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
        super().__init__(str(FOLDER), prompt, adapter=adapter)
        self.source = type(self).__name__  # a place on this machine tells others nothing


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

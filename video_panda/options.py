"""The command line of programs that load a trained model."""

from __future__ import annotations

import argparse
import sys

import torch
import transformers

from lightning_modules.config.user_errors import ProgramParser
from lightning_modules.training.accelerator import memory_errors
from video_panda.conversation import SMALLER
from video_panda.model import VideoPanda

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ModelParser(ProgramParser):
    """A command line with a model and the options of `VideoPanda.from_pretrained`."""

    def __init__(self, program: str, description: str | None) -> None:
        """Add the arguments about the model.

        Args:
            program: name of the program, such as `chat`.
            description: text of its help.
        """
        super().__init__(
            prog=f"video-panda {program}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("model", help="model folder, run folder, checkpoint, or repository on the hub (user/name)")
        self.add_argument("--device", help="device of the model, such as cuda:1 (default: the GPU if there is one)")
        self.add_argument("--dtype", choices=DTYPES, help="number format (default: that of the model's test)")
        self.add_argument("--max-new-tokens", type=int, help="longest answer, in tokens (default: that of the run)")
        self.add_argument("--revision", help="branch, tag or commit of a repository on the hub")


def load(options: argparse.Namespace) -> VideoPanda:
    """Load the model that a command line names.

    Raises:
        ValueError: there is no such device, its memory does not suffice, or what `VideoPanda.from_pretrained` raises.
    """
    if options.device is not None:
        try:
            torch.empty(1, device=options.device).cpu()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            why = str(error).strip().split("\n")[0]
            raise ValueError(f"--device {options.device} cannot be used: {why}") from error
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    with memory_errors(SMALLER):
        return VideoPanda.from_pretrained(
            options.model, options.device, DTYPES.get(options.dtype), options.max_new_tokens, options.revision
        )

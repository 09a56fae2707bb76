"""The programs beside the verbs of Lightning, and the name under which the user started this one."""

from __future__ import annotations

import sys
from pathlib import Path

# Module and function of each program; a module is imported only when its program is run.
PROGRAMS = {
    "compare": ("ablation.comparing.command", "main"),
    "chain": ("ablation.chain", "main"),
    "sweep": ("ablation.sweep.command", "main"),
    "reproduce": ("ablation.reproducing.command", "main"),
    "check-data": ("lightning_modules.programs.check_data", "main"),
    "judge": ("ablation.judging.command", "main"),
    "agreement": ("ablation.judging.agreement", "main"),
    "plan": ("lightning_modules.costs.plan", "main"),
    "experiments": ("lightning_modules.programs.experiments", "main"),
    "show": ("lightning_modules.programs.show", "main"),
    "profile": ("lightning_modules.costs.profile", "main"),
    "chat": ("video_panda.chat.command", "main"),
    "export": ("lightning_modules.export.model_folder", "main"),
    "demo": ("video_panda.demo.command", "main"),
    "pretrain-tiny": ("lightning_modules.programs.pretrain_tiny", "main"),
    "serve": ("video_panda.serving.command", "main"),
    "import-official": ("lightning_modules.export.official_checkpoint", "main_import"),
    "import-eve": ("lightning_modules.export.official_checkpoint", "main_import_eve"),
    "import-video-llava": ("lightning_modules.export.official_checkpoint", "main_import_video_llava"),
    "import-video-chatgpt": ("lightning_modules.export.official_checkpoint", "main_import_video_chatgpt"),
    "import-gguf": ("lightning_modules.export.gguf_model", "main"),
    "export-official": ("lightning_modules.export.official_checkpoint", "main_export"),
}


def program_name() -> str:
    """Return the command by which the user started the program, for help and error messages."""
    command = Path(sys.argv[0])
    if command.name == "__main__.py":
        return f"python -m {command.parent.name}"
    return command.name

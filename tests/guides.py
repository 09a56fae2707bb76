"""The commands that README and guides show, for the tests that run them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
GUIDES = (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))
# Their commands stand on each other, or on files that they print: a test for each runs them as they are.
WHOLE = {"walk_through.md": "test_walk_through.py", "extending.md": "test_extending.py", "small.md": "test_small.py",
         "views.md": "lightning_modules/views/test_views.py", "chat.md": "video_panda/chat/test_chat.py"}  # fmt: skip


def shown(guide: Path) -> list[str]:
    """Return the commands of a guide, each in one line and without remarks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.partition(" #")[0].split()) for line in lines]


def commands(program: str) -> list[str]:
    """Return the arguments of every command of a program, such as `video-panda sweep`, that a guide shows by itself."""
    lines = [line for guide in GUIDES if guide.name not in WHOLE for line in shown(guide)]
    return list(dict.fromkeys(line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")))


RUNNER = """
import sys, shlex
from lightning_modules.cli import main
for line in sys.stdin:
    status = 0
    print(f"command: {line.strip()}", flush=True)
    try:
        main(shlex.split(line))
    except SystemExit as ended:
        status = ended.code or 0
    print(f"\\nstatus: {status}", flush=True)
"""


def run_in_one_process(commands: Sequence[Sequence[str]], folder: Path) -> list[tuple[int, str]]:
    """Return exit status and output of commands that run one after the other in a folder, from packages found there."""
    variables = {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]), "OPENAI_API_KEY": "none"}
    done = subprocess.run([sys.executable, "-c", RUNNER], input="\n".join(map(shlex.join, commands)), cwd=folder,
                          env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=900)  # fmt: skip
    print(done.stdout)
    ends = re.findall(r"^command: .*?\n(.*?)^status: (\d+)$", done.stdout, re.MULTILINE | re.DOTALL)
    assert len(ends) == len(commands), done.stdout[-3000:]
    return [(int(status), output) for output, status in ends]

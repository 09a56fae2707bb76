"""A run from a checkout with changes, done once more by the commands that `video-panda show` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_modules.programs.show import shown
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from tests.lightning_modules.short_run import NO_LSTE, losses
from tests.lightning_modules.training.test_provenance import git, needs_git

PACKAGES = ("ablation", "components", "configs", "datamodules", "experiments", "lightning_modules")
LOSS = "loss: Tensor = "


@pytest.fixture
def code(tmp_path):
    """A checkout of this project in which the text loss counts seven times, which is not committed."""
    folder = tmp_path / "code"
    for package in PACKAGES:
        shutil.copytree(package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    (folder / "components" / "mine.py").write_text("SEVEN = 7.0\n\n")
    model = folder / "lightning_modules" / "video_language.py"
    text = model.read_text()
    assert LOSS in text
    imports = "from components.projectors"
    text = text.replace(imports, f"from components.mine import SEVEN\n{imports}")
    model.write_text(text.replace(LOSS, f"{LOSS}SEVEN * "))
    return folder


def work(folder, command):
    """Run a command line with the code in a folder."""
    python = Path(sys.executable).parent
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@needs_git
def test_the_commit_the_patch_and_the_configuration_give_the_same_losses(code, clips, tmp_path):
    settings = [f"--data.root={clips}", *TINY, *SMALL_STEP, f"--runs={tmp_path / 'runs'}", "--trainer.max_steps=2"]
    settings += ["--trainer.log_every_n_steps=1", "--trainer.limit_val_batches=0", "--test_after_fit=false"]
    work(code, f"python -m lightning fit {' '.join([*NO_LSTE, *settings])}")
    first = tmp_path / "runs" / "no_lste" / "seed_0"
    git(tmp_path, "clone", "--quiet", str(code), "again")
    checkout, fit = shown(first)[-2:]
    assert git(code, "rev-parse", "HEAD") in checkout and str(first / "uncommitted.diff") in checkout
    work(tmp_path / "again", f"{checkout.strip()} && {fit.strip()}")
    assert (tmp_path / "again" / "components" / "mine.py").read_text() == "SEVEN = 7.0\n\n"
    assert losses(first) == losses(first.with_name("seed_0.2")) and len(losses(first)) == 2

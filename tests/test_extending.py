"""docs/extending.md, recipe by recipe, in a copy of the packages: each file as it is printed, and then the command."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("components", "datamodules", "lightning_modules", "ablation", "configs", "experiments")
RECIPES = {
    heading: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for heading, text in re.findall(
        r"^## (.*?)\n(.*?)(?=^## |\Z)", (REPOSITORY / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL
    )
}
SMALL = [
    "--data.train_clips=4", "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
    "--data.turns_per_record=9", "--data.batch_size=2", "--data.eval_batch_size=4",
]  # fmt: skip
QUIET = [
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    "--runs=runs",
]  # fmt: skip
STEP = ["--trainer.fast_dev_run=1"]
# Runs each line as a command, and says behind which one it is how that ended.
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
    print(f"status: {status}", flush=True)
"""


def words(recipe):
    """Return the words of a recipe's command that follow the program's name."""
    (command,) = [text for kind, text in RECIPES[recipe] if kind == "sh"]
    return re.sub(r".*?(?:python -m lightning|video-panda) ", "", command.strip()).split()


def at_small_size(recipe):
    """Return a recipe's command with the flags that make it take a second."""
    command = words(recipe)
    generated = not any(word.startswith(("my_clips", "configs/benchmarks")) for word in command)
    size = SMALL if generated and command[0] != "sweep" else []
    return [*command, *size, *{"fit": QUIET + STEP, "sweep": []}.get(command[0], QUIET)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the packages with the files of all recipes in it."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").symlink_to(REPOSITORY / "tests")
    for blocks in RECIPES.values():
        for kind, text in blocks:
            if kind == "sh":
                continue
            first, rest = text.split("\n", 1)
            adding, name = re.fullmatch(r"# (add to )?(\S+)", first).groups()
            file = folder / name
            assert bool(adding) == file.exists(), f"{name}: {'is not there' if adding else 'is there already'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as opened:
                opened.write(rest)
    return folder


@pytest.fixture(scope="module")
def ended(copy):
    """Return command -> status and output, of all recipes in one process."""
    commands = [shlex.join(at_small_size(recipe)) for recipe in RECIPES]
    done = subprocess.run([sys.executable, "-c", RUNNER], input="\n".join(commands), cwd=copy, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(copy)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=400)  # fmt: skip
    print(done.stdout)
    found = re.findall(r"^command: (.*?)\n(.*?)^status: (\d+)$", done.stdout, re.MULTILINE | re.DOTALL)
    assert [command for command, *_ in found] == commands, done.stdout[-3000:]
    return {command: (int(status), output) for command, output, status in found}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_is_printed(recipe, ended):
    status, output = ended[shlex.join(at_small_size(recipe))]
    assert status == 0, output


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("A part of STAB", "model.encoder.downsampling: LSD -> MaxPool"),
        ("An encoder", "model.encoder: STAB -> FrameMean"),
        ("A language model", "model.language_model: PretrainedTinyLlama -> TinyMistral"),
        ("A teacher", "model.teacher: LanguageBindTeacher -> PixelProjection"),
        ("A view", "patch_norms"),
        ("A table of experiments", "12 jobs"),
    ],
)
def test_what_was_added_is_what_runs(recipe, change, ended):
    assert change in ended[shlex.join(at_small_size(recipe))][1]


def test_the_view_draws_and_the_benchmark_is_asked(copy, ended):
    assert list((copy / "runs").rglob("views/*/patch_norms.png"))
    answers = list((copy / "runs").glob("full+my_benchmark/*/answers/test.jsonl"))
    assert len(answers) == 1 and len(answers[0].read_text().splitlines()) == 2

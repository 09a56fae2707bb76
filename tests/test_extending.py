"""docs/extending.md, recipe by recipe, in a copy of the packages: each file as it is printed, and then the command."""

import re
import shutil

import pytest

from tests.guides import REPOSITORY, run_in_one_process

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("recipes")]  # one process of commands for all of them
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
    """Return recipe -> status and output of its command, all of them in one process."""
    return dict(zip(RECIPES, run_in_one_process([*map(at_small_size, RECIPES)], copy), strict=True))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_is_printed(recipe, ended):
    status, output = ended[recipe]
    assert status == 0, output


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("A part of STAB", "model.encoder.downsampling: LSD -> MaxPool"),
        ("An encoder", "model.encoder: STAB -> FrameMean"),
        ("A language model", "model.language_model: PretrainedTinyLlama -> TinyMistral"),
        ("A teacher", "model.teacher: LanguageBindTeacher -> PixelProjection"),
        ("A metric", "test/mentions/mean"),
        ("A view", "patch_norms"),
        ("A table of experiments", "12 jobs"),
    ],
)
def test_what_was_added_is_what_runs(recipe, change, ended):
    assert change in ended[recipe][1]


def test_the_view_draws_and_the_benchmark_is_asked(copy, ended):
    assert list((copy / "runs").rglob("views/*/patch_norms.png"))
    answers = list((copy / "runs").glob("full+my_benchmark/*/answers/test.jsonl"))
    assert len(answers) == 1 and len(answers[0].read_text().splitlines()) == 2

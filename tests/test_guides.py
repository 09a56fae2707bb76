"""What the guides show works as they say."""

import re
import subprocess
from pathlib import Path

import pytest

from lightning_modules.programs import PROGRAMS
from tests.guides import GUIDES, REPOSITORY, WHOLE, commands, run_in_one_process, shown

pytestmark = pytest.mark.xdist_group("guides")  # one process of commands for all of them
# Commands of these programs are run by tests of their own, which take them from the guides too.
ELSEWHERE = {
    "python -m lightning fit": (
        "lightning_modules/test_experiments.py",
        "lightning_modules/training/test_full_size.py",
    ),
    "video-panda plan": ("lightning_modules/costs/test_plan.py",),
    "video-panda reproduce": ("ablation/reproducing/test_reproduce_toy.py",),
    "video-panda sweep": ("ablation/sweep/test_sweep.py",),
    "video-panda demo": ("video_panda/demo/test_demo_program.py",),
    "video-panda chain": ("ablation/test_chain.py",),
    "video-panda serve": ("video_panda/serving/test_serve.py",),
    "python -m lmms_eval": ("video_panda/test_lmms_eval.py",),
}
# But for these, which are about files of the reader's, or too large to be trained there.
NOT_THERE = re.compile("video-panda (sweep .*(my_data|--until)|chain .*scale/paper)")
OTHERS_PROGRAMS = ("make", "pip", "uv", "export", "tensorboard")
SMALL = [
    "--data.train_clips=4", "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
    "--data.turns_per_record=9", "--data.batch_size=2", "--trainer.max_steps=1", "--trainer.limit_val_batches=0",
]  # fmt: skip
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
# What the commands are about: two trainings, a test of each and what judges said of these.
GIVEN = [
    *(["fit", "--config", f"experiments/{name}.yaml", *SMALL, *QUIET] for name in ("full", "no_lste")),
    *(["test", "--config", f"runs/{name}/seed_0/config.yaml", f"--ckpt_path=runs/{name}/seed_0/checkpoints/last.ckpt",
       *QUIET] for name in ("full", "no_lste")),
    *(["judge", f"runs/{name}/test_seed_0", "--judge", "ExactMatch"] for name in ("full", "no_lste")),
]  # fmt: skip
# More, that makes a command quick; what stands for a name that the reader puts in.
QUICK = {
    "profile": ["--config", "configs/scale/toy.yaml", "--repeats", "0"],
    "sweep": ["--dry-run", "--runs=other_runs"],
    "pretrain-tiny": ["--steps", "2"],
}
STANDS_FOR = {"CHECKPOINT": "runs/full/seed_0/checkpoints/last.ckpt", "DATA.yaml": "configs/data/real_clips.yaml"}


def here():
    """Return the commands that are run here, among them those about files of the reader's."""
    lines = [line for guide in GUIDES if guide.name not in WHOLE for line in shown(guide)]
    ours = [line for line in dict.fromkeys(lines) if not line.startswith((*OTHERS_PROGRAMS, *ELSEWHERE))]
    return [*(line for line in ours if "models/full" not in line), *filter(NOT_THERE.match, dict.fromkeys(lines))]


def to_run(command):
    """Return the words of a command at a small size."""
    verb, *words = command.removeprefix("video-panda ").removeprefix("python -m lightning ").split()
    words = [STANDS_FOR.get(word, word) if verb == "test" else word for word in words]
    if verb == "chain":  # which has no dry run: the same files and flags as a plan
        return ["plan", *words, "--samples=9"]
    if verb == "test":
        words += [*QUIET, "--trainer.limit_test_batches=1"]
        words += SMALL[:4] if "experiments/no_lste.yaml" in words else []
    return [verb, *words, *QUICK.get(verb, [])]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Return command -> status and output, all in one process and a folder that looks like the repository."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("configs", "experiments", "tests"):
        (folder / name).symlink_to(REPOSITORY / name)
    results = run_in_one_process([*GIVEN, *map(to_run, here())], folder)
    assert not any(status for status, _ in results[: len(GIVEN)])
    return dict(zip(here(), results[len(GIVEN) :], strict=True))


@pytest.mark.long
@pytest.mark.parametrize("command", here())
def test_a_command_of_the_guides_runs_or_names_what_the_reader_is_to_put_in(command, ended):
    status, output = ended[command]
    assert "Traceback" not in output
    if status:
        (error,) = re.findall(r"^error: .*", output, re.MULTILINE)
        readers = [word for word in re.split(r"[ =,]", command) if re.match(r"[A-Z]{3}|models/|my_", word)]
        assert status == 1 and any(word in error for word in readers), error


def test_every_other_command_is_run_by_a_test_of_its_own():
    for program, tests in ELSEWHERE.items():
        assert commands(program)
        for test in tests:
            assert f'commands("{program}")' in (REPOSITORY / "tests" / test).read_text()
    exported = "lightning_modules/export/test_export_official.py"
    for guide, test in {**WHOLE, "weights.md": exported}.items():
        assert guide in (REPOSITORY / "tests" / test).read_text()
    verbs = {line.split()[1] for guide in GUIDES for line in shown(guide) if line.startswith("video-panda ")}
    assert verbs <= PROGRAMS.keys()


def test_every_verb_is_in_the_table_of_the_readme():
    table = "".join(line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("| `"))
    assert {*PROGRAMS, "fit", "validate", "test", "predict"} <= set(re.findall(r"`([\w-]+)`", table))


def test_make_knows_its_targets():
    for target in {line for guide in GUIDES for line in shown(guide) if line.startswith("make ")}:
        subprocess.run([*target.split(), "--dry-run"], cwd=REPOSITORY, check=True, capture_output=True)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_links_lead_somewhere(guide):
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#?([^)\s]*)\)", guide.read_text()):
        file = guide.parent / target if target else guide
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)", file.read_text(), re.MULTILINE) if file.suffix == ".md" else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("guide", ["stab"])
def test_the_python_of_a_guide_runs(guide):
    blocks = re.findall(r"```python\n(.*?)```", Path(f"docs/{guide}.md").read_text(), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})


def test_the_parts_of_stab_are_in_its_guide():
    from components.encoders import STAB

    text = Path("docs/stab.md").read_text()
    named = set(re.findall(r"\(`(\w+)`\)", text))
    slots = {name for name, part in STAB(width=8).named_children() if sum(p.numel() for p in part.parameters())}
    assert slots <= named

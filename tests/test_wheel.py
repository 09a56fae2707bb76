"""What `pip install` of the wheel gives: no names but its own, and a program that trains from any folder."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SHORT = [
    "--trainer.max_steps=1", "--data.train_clips=4", "--data.val_questions_per_family=1",
    "--data.test_questions_per_family=1", "--data.turns_per_record=9", "--data.batch_size=2",
    "--model.stage.global_batch=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1",
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
]  # fmt: skip

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(REPOSITORY)]
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []  # else it comes from a package index
    subprocess.run([*command, *isolation], check=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment with the wheel, whose other packages are those of the tests, without the repository."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", f"--python={python}", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    packages = folder.joinpath("lib", f"python{sysconfig.get_python_version()}", "site-packages")
    tested = Path(sysconfig.get_path("purelib"))
    # The wheel has added a file to the folder of lightning, which therefore is linked file by file.
    for source, target in ((tested, packages), (tested / "lightning", packages / "lightning")):
        for path in source.iterdir():
            if not (target / path.name).exists() and path.suffix != ".pth" and "video_panda" not in path.name:
                (target / path.name).symlink_to(path)
    return folder / "bin"


@pytest.fixture
def run(environment, tmp_path, monkeypatch):
    """Runs a command of the environment in an empty folder, and returns its output; it must succeed."""
    monkeypatch.delenv("PYTHONPATH", raising=False)

    def command(program, *words, status=0):
        done = subprocess.run([environment / program, *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)  # fmt: skip
        print(done.stdout)
        assert done.returncode == status
        return done.stdout

    return command


def test_the_wheel_claims_no_name_but_its_own(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    others = [name for name in names if not re.match(r"video_panda(_lightning-[\d.]+\.dist-info)?/", name)]
    assert others == ["lightning/__main__.py"]
    inside = {name.removeprefix("video_panda/repository/") for name in names}
    folders = ("components", "datamodules", "lightning_modules", "ablation", "configs", "experiments")
    tracked = subprocess.run(["git", "ls-files", *folders, "video_panda"], cwd=REPOSITORY, text=True,
                             stdout=subprocess.PIPE, check=True).stdout.split()  # fmt: skip
    assert set(tracked) - inside - {"video_panda/__main__.py"} == set()


def test_it_trains_a_packaged_experiment_from_an_empty_folder(run, tmp_path):
    listed = run("video-panda", "experiments")
    assert re.search(r"^  experiments/no_lste\.yaml +packaged +Table 4, without LSTE", listed, re.MULTILINE)
    packages = Path(re.search(r"packaged files are in (.*)\.$", listed, re.MULTILINE)[1])
    assert packages.parts[-2:] == ("video_panda", "repository")

    words = ["--config", "experiments/no_lste.yaml", "--data.workers=1", *SHORT]
    output = run("python", "-m", "lightning", "fit", *words)
    assert output.count(f"experiments/no_lste.yaml: the packaged file in {packages}\n") == 1
    assert "model.encoder.local_encoding: LSTE -> NoLocalEncoding" in output
    assert (tmp_path / "runs/no_lste/seed_0/summary.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "runs"]
    shown = run("video-panda", "show", "runs/no_lste/seed_0")
    assert f"{packages}/configs/scale/toy.yaml" in shown and "code not of a checkout" in shown


def test_a_sweep_trains_an_experiment_of_the_user_that_builds_on_a_packaged_one(run, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# Mine\nbase: no_lste.yaml\n")
    output = run("video-panda", "sweep", "experiments/mine.yaml", *SHORT, "--data.workers=0")
    assert "experiments/no_lste.yaml: the packaged file in" in output and "1 of 1 jobs are finished" in output


def test_a_package_of_the_user_with_a_name_of_ours_is_one_line(run, tmp_path):
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").touch()
    output = run("python", "-m", "lightning", "experiments", status=1)
    assert "Traceback" not in output and f"{tmp_path}/components/__init__.py hides the package components" in output
    run("video-panda", "experiments")


def test_models_are_known_to_transformers_in_python(run):
    code = "import video_panda; from transformers import AutoConfig; print(AutoConfig.for_model('video_panda'))"
    assert "VideoPandaConfig {" in run("python", "-c", code)

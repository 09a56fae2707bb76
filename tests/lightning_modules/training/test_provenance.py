"""What is kept of where figures come from: the state of the code, and no secrets."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from datamodules.records import Choice, FreeAnswer
from lightning_modules.config.redaction import as_typed, without_secrets
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.runs.checkout import checkout_of, uncommitted
from lightning_modules.training.provenance import checksums

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder, *arguments):
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("1")
    git(folder, "init", "--quiet")
    git(folder, "add", "code.py")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


@needs_git
def test_the_commit_and_whether_files_differ_from_it(checkout):
    git_checkout = checkout_of(checkout / "code.py")
    assert git_checkout.commit == git(checkout, "rev-parse", "HEAD") and not git_checkout.changed
    (checkout / "new.py").write_text("2")
    assert checkout_of(checkout / "code.py").changed
    (checkout / "new.py").unlink()
    (checkout / "code.py").write_text("3")
    assert checkout_of(checkout / "code.py").changed


@needs_git
def test_what_was_installed_into_another_checkout_is_not_of_it(checkout, tmp_path):
    installed = checkout / "site-packages" / "code.py"
    installed.parent.mkdir()
    installed.write_text("1")
    assert checkout_of(installed) is None
    (tmp_path / "code.py").write_text("1")
    assert checkout_of(tmp_path / "code.py") is None


def test_without_git_nothing_is_known(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert checkout_of(Path(__file__)) is None


@needs_git
def test_uncommitted_changes_are_a_patch_that_can_be_applied(checkout, tmp_path):
    before = {"code.py": b"1\n2\n3\n\n", "dos.py": b"1\r\n2\r\n", "latin.py": b"\xe9\n"}
    for name, content in before.items():
        (checkout / name).write_bytes(content)
    (checkout / ".gitignore").write_text("*.pyc\nignored.py\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message=second")
    for setting in ("diff.noprefix", "color.ui"):
        git(checkout, "config", setting, "always" if setting == "color.ui" else "true")
    # The patch of the first ends with an empty line of context.
    after = {"code.py": b"1\n2\n4\n\n", "dos.py": b"1\r\n3\r\n", "latin.py": b"\xe8\n", "part/new one.py": b"5\n"}
    (checkout / "part").mkdir()
    for name, content in after.items():
        (checkout / name).write_bytes(content)
    for name in ("ignored.py", "data.bin"):
        (checkout / name).write_text("not in the patch")
    status = git(checkout, "status", "--porcelain")
    (tmp_path / "patch").write_bytes(uncommitted(checkout / "code.py"))
    assert git(checkout, "status", "--porcelain") == status  # the user's index is as it was
    git(tmp_path, "clone", "--quiet", str(checkout), "again")
    git(tmp_path / "again", "apply", str(tmp_path / "patch"))
    assert {name: (tmp_path / "again" / name).read_bytes() for name in after} == after
    assert not (tmp_path / "again" / "data.bin").exists()


@needs_git
def test_without_changes_the_patch_is_empty(checkout, tmp_path):
    assert uncommitted(checkout / "code.py") == uncommitted(tmp_path / "code.py") == b""


SECRET = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    "words",
    [
        [f"--trainer.logger.init_args.api_key={SECRET}"],
        ["--trainer.logger.init_args.api_key", SECRET],
        [f'--trainer.logger={{"init_args": {{"api_key": "{SECRET}"}}}}'],
        [f"--trainer.logger.init_args.password={SECRET}"],
        [f"sk-{SECRET}"],
        [f"--name=hf_{SECRET}"],
        [f"--x=https://someone:{SECRET}@example.org/data"],
    ],
)
def test_what_looks_like_a_secret_is_hidden(words):
    typed = as_typed(["test", *words, "--ckpt_path=a.ckpt"])
    assert SECRET not in typed and "***" in typed
    assert typed.startswith("test ") and typed.endswith(" --ckpt_path=a.ckpt")


def test_all_else_is_kept_as_it_was_typed():
    words = ["--model.max_new_tokens=4", "--judge.api_key_variable=NAME", "--data.root=/a b", "--show_key", "--x=1"]
    assert shlex.split(as_typed(words)) == words


def test_configurations_and_texts_without_secrets():
    config = {"api_key": "short", "key": None, "max_new_tokens": 4, "inner": [{"url": f"http://me:{SECRET}@host/"}]}
    hidden = {"api_key": "***", "key": None, "max_new_tokens": 4, "inner": [{"url": "http://***@host/"}]}
    assert without_secrets(config) == hidden
    assert without_secrets(f"key = {SECRET[:10]}\nsk-{SECRET}\n") == f"key = {SECRET[:10]}\n***\n"


def test_a_test_has_no_argument_for_a_key(capsys):
    with pytest.raises(SystemExit):
        ExperimentCLI(["test", "--config=experiments/full.yaml", "--print_config"])
    names = [line.strip().partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert "max_new_tokens" in names and "ckpt_path" in names
    assert not [name for name in names if name.endswith(("key", "secret", "password", "token"))]


def test_checksums_are_of_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    (tmp_path / "c").write_text("other")
    a, b, c = checksums([tmp_path / name for name in "abc"]).values()
    assert a == b != c and len(a) == 64


def test_every_kind_of_answer_says_how_it_is_compared():
    assert len({FreeAnswer.rules, Choice.rules}) == 2 and "synonyms" in FreeAnswer.rules
    assert FreeAnswer().rules == FreeAnswer.rules

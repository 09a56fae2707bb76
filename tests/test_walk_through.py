"""docs/walk_through.md, command by command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "docs" / "walk_through.md").read_text()


@pytest.fixture
def place(tmp_path):
    """A folder in which commands find what they would find in the repository, and leave what they write."""
    for name in ("configs", "experiments", "tests"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    return tmp_path


def run(commands, place):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", commands], cwd=place, env=environment, capture_output=True, text=True,
                          check=False, timeout=500)  # fmt: skip
    print(done.stdout, done.stderr, file=sys.stderr)
    assert "Traceback" not in done.stderr
    return done


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.long
def test_it_does_what_it_says(place):
    check, train, resume, test, go_on, exact, local = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    output = run(check, place).stdout
    assert re.search(r"\| ok +\| +12 \|", output) and "in train and in another split (14)" in output

    run(train, place)
    folder = place / "runs" / "walk_through" / "seed_0"
    assert not (folder / "summary.json").exists(), "it was killed"
    assert run(resume, place).returncode == 0
    steps = json.loads((folder / "summary.json").read_text())["steps"]
    assert steps == 12 * 7  # epochs of 18 conversations, 18 instructions and 6 texts, six at a time
    assert "5bddab0f851a8437e3bc3dfd93ff07093a21dd29d0793d830747e4c0afede877" in (folder / "origin.txt").read_text()
    assert "went on with" not in (folder / "origin.txt").read_text()

    run(test, place)
    answers = place / "runs" / "walk_through" / "test_seed_0" / "answers"
    early = [row["id"] for row in rows(answers / "test.jsonl")]
    done = run(go_on, place)
    assert done.returncode == 0
    ids = [row["id"] for row in rows(answers / "test.jsonl")]
    assert len(ids) == len(set(ids)) == 35 + 17
    assert early and ids[: len(early)] == early
    assert re.search(r"test/accuracy/real_clips_qa +0\.\d+ \[0\.\d+, [01]\.\d+\]", done.stdout)
    scores = json.loads((answers / "test_scores.json").read_text())
    assert scores["counts"]["questions"] == 52 and scores["provenance"]["answered_before"] == len(early)

    assert re.search(r"accuracy/\S+: \d+\.\d % \[.*\] of 52 judged answers", run(exact, place).stdout)
    judged = run(local, place)
    assert judged.returncode == 0 and re.search(r"coverage/\S+: 0\.0 % \(0 of 35 judged\)", judged.stdout)

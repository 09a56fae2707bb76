"""A disk that fills while answers are judged: one line, and what was stored is not asked for again."""

from pathlib import Path

import pytest

from ablation.judging.command import main, run
from ablation.judging.judge import ExactMatch
from lightning_modules.config.user_errors import user_errors
from tests.ablation.judging.faulty_server import FaultyServer
from tests.ablation.judging.stored_answers import SETTINGS, read_lines, row, save_answers

HOW_TO_GO_ON = "; once it can, the same command goes on from what is stored\n"


@pytest.fixture
def answers(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret-0123456789")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return save_answers(tmp_path / "answers" / "test.jsonl", [row(number) for number in range(30)])


def test_a_file_of_replies_that_cannot_grow_keeps_those_in_it(answers, tmp_path, capsys, files_end_at):
    with FaultyServer() as server:
        command = [str(answers), f"--cache={tmp_path / 'cache'}", "--judge=ServerJudge", "--judge.model=m", *SETTINGS,
                   f"--judge.base_url={server.url}"]  # fmt: skip
        with files_end_at(3000), pytest.raises(SystemExit) as ended:
            main(command)
        [cache] = (tmp_path / "cache").iterdir()
        *whole, half = cache.read_bytes().split(b"\n")
        output = capsys.readouterr().err
        asked = dict(server.answered)
        assert ended.value.code == 1 and output.count("error: ") == 1 and "Traceback" not in output
        assert f"error: {cache} cannot be written: File too large{HOW_TO_GO_ON}" in output
        assert 0 < len(whole) < len(asked) < 30 and half and len(cache.read_bytes()) == 3000
        server.answered.clear()
        main(command)
    assert len(server.answered) == 30 - len(whole)
    [file] = (tmp_path / "judgements" / "test").iterdir()
    assert [line["right"] for line in read_lines(file)] == [number % 3 != 0 for number in range(30)]


def test_judgements_that_cannot_be_written_leave_what_was_there(answers, tmp_path, capsys, files_end_at):
    command = [str(answers), f"--cache={tmp_path / 'cache'}", "--judge=ExactMatch"]
    main(command)
    [file] = (tmp_path / "judgements" / "test").iterdir()
    before = file.read_bytes()
    with files_end_at(1000), pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    assert f"error: {file} cannot be written: File too large{HOW_TO_GO_ON}" in capsys.readouterr().err
    assert [path.read_bytes() for path in file.parent.iterdir()] == [before]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_without_space(tmp_path, answers, capsys):
    class Filling(ExactMatch):
        def judge(self, comparisons):
            full.symlink_to("/dev/full")  # not before: it can be read without end
            return super().judge(comparisons)

    judge = Filling()
    full = tmp_path / f"{judge.identity.label}.jsonl"
    with pytest.raises(SystemExit) as ended, user_errors():
        run(judge, answers, "test", [], tmp_path, False, None)
    assert ended.value.code == 1
    assert f"error: {full} cannot be written: No space left on device{HOW_TO_GO_ON}" in capsys.readouterr().err

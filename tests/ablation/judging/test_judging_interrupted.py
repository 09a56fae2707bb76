"""Judging that is killed or interrupted keeps every answer and asks for none of them again."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from ablation.judging.command import main
from tests.ablation.judging.faulty_server import FaultyServer, verdict
from tests.ablation.judging.stored_answers import SETTINGS, read_lines, row, save_answers

ENOUGH = 10


@pytest.fixture
def answers(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret-0123456789")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return save_answers(tmp_path / "answers" / "test.jsonl", [row(number) for number in range(60)])


@pytest.fixture
def command(answers, tmp_path):
    settings = ("--judge=ServerJudge", "--judge.model=m", "--judge.concurrency=2", *SETTINGS)
    return lambda server: [str(answers), f"--cache={tmp_path / 'cache'}", *settings, f"--judge.base_url={server.url}"]


def stored(tmp_path):
    [cache] = (tmp_path / "cache").iterdir()
    return cache, {line["question"] for line in read_lines(cache)}


def test_a_killed_run_goes_on_and_asks_nothing_twice_that_was_stored(command, tmp_path, capsys):
    with FaultyServer(delay=0.05) as server:
        process = multiprocessing.get_context("fork").Process(target=main, args=(command(server),))
        process.start()  # a copy of this process, which has everything imported
        while not (tmp_path / "cache").exists() or len(server.requests) <= ENOUGH:
            assert process.is_alive()
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        cache, before = stored(tmp_path)
        with cache.open("a", encoding="utf-8") as file:
            file.write('{"judge": "half a li')
        server.answered.clear()
        server.delay = 0
        main(command(server))
    assert "1 broken lines left out" in capsys.readouterr().out
    assert 0 < len(before) < 60 and before.isdisjoint(server.answered) and len(server.answered) == 60 - len(before)
    [file] = (tmp_path / "judgements" / "test").iterdir()
    assert [line["right"] for line in read_lines(file)] == [number % 3 != 0 for number in range(60)]


def test_control_c_keeps_what_was_under_way(command, tmp_path, capsys):
    once = threading.Lock()

    def interrupting(prompt):
        if len(server.requests) >= ENOUGH and once.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return verdict(prompt)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FaultyServer(reply=interrupting, delay=0.05) as server, pytest.raises(SystemExit) as ended:
            main(command(server))
    finally:
        signal.signal(signal.SIGINT, before)
    output = capsys.readouterr()
    _, kept = stored(tmp_path)
    assert ended.value.code == 130 and "interrupted; the same command goes on" in output.err
    assert kept == set(server.answered) and ENOUGH <= len(kept) < 60
    assert f"({len(kept)} of 60 judged)" in output.out

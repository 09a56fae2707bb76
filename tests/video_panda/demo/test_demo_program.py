"""The command line of `video-panda demo`: what it refuses, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from lightning_modules.cli import main
from tests.guides import REPOSITORY, commands

pytest.importorskip("gradio")
from gradio_client import Client, handle_file

from video_panda.demo.command import names

CLIP = REPOSITORY / "tests" / "data" / "videos" / "chaplin.mp4"
HOST = "127.0.0.1"


def test_models_have_short_names():
    assert names(["runs/full/seed_0", "/b/no_lste/seed_1"]) == ["full/seed_0", "no_lste/seed_1"]
    assert names(["a/full/seed_0", "b/full/seed_0"]) == ["a/full/seed_0", "b/full/seed_0"]


@pytest.mark.parametrize(("words", "line"), [
    (["m", "m"], "m cannot be compared with itself"),
    (["m", "--max-upload=0"], "--max-upload is 0; it must be at least 1"),
    (["m", "--timeout=-1"], "--timeout is -1; it must be at least 1"),
    (["m", "--port=70000"], "--host 127.0.0.1 --port 70000 cannot be served at"),
    (["m", "--host=192.0.2.1"], "--host 192.0.2.1 --port 7860 cannot be served at"),
    (["nothing", "--port=0"], "nothing is neither a model folder"),
])  # fmt: skip
def test_what_cannot_be_served_is_one_line(words, line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *words])
    error = capsys.readouterr().err
    assert ended.value.code == 1 and error.startswith(f"error: {line}") and error.count("\n") == 1


def test_a_port_in_use_is_one_line(capsys):
    with socket.create_server((HOST, 0)) as server, pytest.raises(SystemExit):
        main(["demo", "m", f"--port={server.getsockname()[1]}"])
    assert "in use" in (error := capsys.readouterr().err) and error.count("\n") == 1


def test_without_gradio_a_line_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit):
        main(["demo", "m"])
    error = capsys.readouterr().err
    assert "pip install 'video-panda-lightning[demo]'" in error and error.count("\n") == 1


@pytest.mark.parametrize("command", commands("video-panda demo"))
def test_a_command_of_the_guides_serves_until_ctrl_c(command, trained, monkeypatch, capsys):
    class Asked:
        """Stands for the wait for Ctrl-C."""

        def wait(self):
            (address,) = re.findall(r"http://\S+/", said := capsys.readouterr().out)
            assert httpx.get(address).status_code == 200 and "without a password" not in said
            raise KeyboardInterrupt

    monkeypatch.setattr("video_panda.demo.command.Event", Asked)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    of_readers = {"runs/full/seed_0": str(trained[0]), "runs/no_lste/seed_0": str(trained[1])}
    words = [of_readers.get(word, word) for word in command.split()]
    main(["demo", *words, *([] if "--port" in words else ["--port=0"])])
    assert capsys.readouterr().out == "ended\n"


@pytest.mark.long
def test_the_program_ends_at_ctrl_c_and_leaves_no_files(trained, tmp_path):
    program = [sys.executable, "-m", "lightning_modules", "demo", str(trained[1]), "--port=0", "--device=cpu"]
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(program, cwd=REPOSITORY, env=variables, text=True, stdout=subprocess.PIPE) as running:
        (address,) = re.findall(r"http://\S+/", running.stdout.readline())
        client = Client(address, verbose=False)
        client.predict(handle_file(CLIP), api_name="/read")
        assert [*tmp_path.rglob(CLIP.name)]
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    assert not [*tmp_path.rglob(CLIP.name)]

"""A served model answers as in its test, many at once, and its program begins and ends as the guide says."""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import torch

from datamodules.video.open import open_video
from lightning_modules.cli import main
from tests.guides import REPOSITORY, commands
from tests.video_panda.serving.served import (
    CLIP,
    QUESTION,
    ask,
    data,
    health,
    held,
    message,
    png,
    said,
    serving,
    until,
    video,
)
from video_panda.serving.command import KEY


@pytest.fixture(scope="module")
def client(panda):
    with serving(panda) as (_, client):
        yield client


def test_ask_and_server_give_the_answers_of_the_test_also_all_at_once(panda, client, answered, monkeypatch):
    videos, questions, predictions = map(list, zip(*answered, strict=True))
    assert panda.ask(videos, questions) == predictions
    requests = [message(video(data(clip)), text=question) for clip, question, _ in answered]
    assert [said(client, request) for request in requests[:5]] == predictions[:5]
    batches, generate = [], panda.generate
    monkeypatch.setattr(
        panda, "generate", lambda inputs, **o: batches.append(len(inputs["input_ids"])) or generate(inputs, **o)
    )
    with ThreadPoolExecutor(len(requests)) as threads:
        at_once = threads.map(lambda given: said(client, given[1], stream=given[0] % 2 == 1), enumerate(requests))
        assert list(at_once) == predictions
    assert sum(batches) == len(requests) and 1 < max(batches) <= 8


def test_a_text_without_a_clip_and_a_short_limit_share_a_batch(panda, client, answered, monkeypatch):
    clip, question, prediction = answered[0]
    alone = panda.ask(None, QUESTION)
    with held(panda, monkeypatch) as going, ThreadPoolExecutor(4) as threads:
        first = threads.submit(said, client, message(video(data(clip)), text=question))
        until(lambda: health(client)["requests"] == 1)
        rest = [
            threads.submit(ask, client, message(text=QUESTION)),
            threads.submit(ask, client, message(video(data(clip)), text=question)),
            threads.submit(ask, client, message(video(data(clip)), text=question), max_tokens=1),
        ]
        until(lambda: health(client)["requests"] == 4)
        going.set()
        text, long, short = [one.result() for one in rest]
    assert first.result() == long.choices[0].message.content == prediction
    assert text.choices[0].message.content == alone
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 1)
    assert prediction.startswith(short.choices[0].message.content)


def test_tokens_are_counted(panda, client, answered):
    clip, question, prediction = answered[0]
    given = ask(client, message(video(data(clip)), text=question))
    asked = panda.processor(question, clip)
    tokens = len(panda.generate(asked)[0]) - asked["input_ids"].shape[1]
    usage = given.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (asked["input_ids"].shape[1], tokens)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    ended = tokens < panda.model.generation_config.max_new_tokens
    assert given.choices[0].finish_reason == ("stop" if ended else "length")
    pieces = ask(client, message(video(data(clip)), text=question), stream=True, stream_options={"include_usage": True})
    *chunks, last = pieces
    assert last.usage == usage and last.choices == [] and not any(chunk.usage for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == prediction


def test_the_forms_in_which_a_clip_comes(panda, answered, tmp_path):
    clip, question, prediction = answered[0]
    (tmp_path / "a clip.mp4").write_bytes(Path(clip).read_bytes())
    with open_video(clip) as reader:
        frames = reader.frames(range(len(reader)))
    pictures = [png(frame) for frame in frames]
    forms = [
        [{"type": "input_video", "video_url": data(clip)}],
        [{"type": "input_video", "input_video": {"url": data(clip)}}],
        [{"type": "video", "video": data(clip, "")}],
        [video(f"file://{tmp_path}/a%20clip.mp4")],
        [video("file://a clip.mp4")],
        [{"type": "video", "video": pictures}],
        [{"type": "image_url", "image_url": {"url": picture, "detail": "low"}} for picture in pictures],
    ]
    with serving(panda, media=tmp_path) as (_, client):
        assert [said(client, message(*parts, text=question)) for parts in forms] == [prediction] * len(forms)
        question_first = {"role": "user", "content": [{"type": "text", "text": question}, *forms[0]]}
        assert said(client, question_first) == prediction
        (tmp_path / "one.png").write_bytes(base64.b64decode(pictures[0].partition(",")[2]))
        picture = {"type": "input_image", "image_url": pictures[0]}
        assert said(client, message(picture, text=question)) == panda.ask(tmp_path / "one.png", question)


def test_a_conversation_goes_on_from_its_turns(panda, client, answered, monkeypatch):
    clip, question, _ = answered[0]
    before = [("What is shown?", "a lamp"), ("Where?", "left")]
    expected, asked = panda.processor(question, clip, before)["input_ids"], []
    generate = panda.generate
    monkeypatch.setattr(panda, "generate", lambda inputs, **o: asked.append(inputs) or generate(inputs, **o))
    turns = [
        message(video(data(clip)), text="What is shown?"),
        # As clients return an answer.
        {"role": "assistant", "content": "a lamp", "refusal": None, "tool_calls": None, "annotations": []},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": [{"type": "text", "text": "left"}]},
        {"role": "user", "content": question},
    ]
    assert said(client, *turns) == panda.ask(clip, question, before=before)
    assert torch.equal(asked[0]["input_ids"], expected)


def test_answers_that_are_drawn(panda, client, answered):
    clip, question, prediction = answered[0]
    request = message(video(data(clip)), text=question)

    def drawn(**settings):
        return [choice.message.content for choice in ask(client, request, **settings).choices]

    hot = {"temperature": 2.0, "max_tokens": 12}
    first = drawn(seed=1, n=4, **hot)
    assert len(first) == 4 and len(set(first)) > 1
    with ThreadPoolExecutor(6) as threads:  # also in company
        assert all(list(threads.map(lambda _: drawn(seed=1, n=4, **hot) == first, range(6))))
    assert drawn(seed=2, n=4, **hot) != first
    assert drawn(temperature=2.0, top_p=1e-6) == drawn(temperature=0.0, n=2)[:1] == [prediction]
    chunks = list(ask(client, request, n=2, stream=True, seed=1, **hot))
    by_number = ["".join(c.choices[0].delta.content or "" for c in chunks if c.choices[0].index == n) for n in (0, 1)]
    assert by_number == drawn(seed=1, n=2, **hot)


def test_settings_that_are_not_given_are_those_of_the_model(panda, client, answered, monkeypatch):
    question = answered[0][1]
    given, generate = [], panda.generate
    monkeypatch.setattr(panda, "generate", lambda inputs, **o: given.append(o) or generate(inputs, **o))
    config = panda.model.generation_config
    said(client, message(text=question))
    assert given[-1]["do_sample"] is False and given[-1]["max_new_tokens"] == config.max_new_tokens
    for name, value in {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 3}.items():
        monkeypatch.setattr(config, name, value)
    said(client, message(text=question))
    names = ("do_sample", "temperature", "top_p", "top_k", "max_new_tokens")
    assert [given[-1][name] for name in names] == [True, 0.7, 0.9, 0, 3]
    said(client, message(text=question), temperature=0)
    assert given[-1]["do_sample"] is False


def one_line(capsys, *words):
    with pytest.raises(SystemExit):
        main(["serve", *words])
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_the_program_refuses(trained, capsys, monkeypatch, tmp_path):
    model = str(trained[1])
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = str(place.getsockname()[1])
        assert one_line(capsys, model, "--port", port) == (
            f"error: port {port} of 127.0.0.1 is in use; choose another with --port, or 0 for a free one"
        )
    for words in (("--port=70000",), ("--port=-1",), ("--host=no.such.host.invalid",), ("--host=203.0.113.1",)):
        assert "cannot be listened at: " in one_line(capsys, model, *words)
    assert f"--media {tmp_path}/none is no folder" in one_line(capsys, model, f"--media={tmp_path}/none")
    assert "--batch is 0; it must be a positive number" in one_line(capsys, model, "--batch=0")
    assert "--timeout is nan; it must be" in one_line(capsys, model, "--timeout=nan")
    assert "is neither a model folder" in one_line(capsys, str(tmp_path), "--port=0")
    monkeypatch.setenv(KEY, " ")
    assert f"the environment variable {KEY} is empty" in one_line(capsys, model)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_the_packages_that_it_needs_are_named(capsys, monkeypatch, package):
    for name in ("video_panda.serving.command", "video_panda.serving.completions", "video_panda.serving.chat_request"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    line = one_line(capsys, "models/full")
    assert line.startswith(
        "error: video-panda serve needs FastAPI and uvicorn: pip install 'video-panda-lightning[serve]'"
    )


@pytest.mark.long
def test_the_guide_from_start_to_ctrl_c(trained, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "full").symlink_to(trained[1])
    (tmp_path / "clips").mkdir()
    shutil.copy(CLIP, tmp_path / "clips" / "clip.mp4")
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = str(place.getsockname()[1])
    guide = (REPOSITORY / "docs" / "serve.md").read_text().replace("8000", port)
    (command,) = commands("video-panda serve")
    words = [sys.executable, "-m", "lightning_modules", "serve", *command.split(), "--port", port]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline().startswith(f"full answers at http://127.0.0.1:{port}/v1, without a key")
            for program, block in re.findall(r"^```(python|bash)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL):
                if program == "python" or block.startswith("curl"):
                    shell = [sys.executable, "-c"] if program == "python" else ["bash", "-c"]
                    ran = subprocess.run([*shell, block], cwd=tmp_path, capture_output=True, text=True, timeout=200)
                    assert ran.returncode == 0 and '"error"' not in ran.stdout, ran
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
            drawn = {"max_tokens": 10**6, "temperature": 2, "n": 8, "stream": True}  # long, of some of the eight
            pieces = client.chat.completions.create(model="full", messages=[message()], **drawn)
            assert [next(pieces).choices[0].index for _ in range(8)] == list(range(8))
            server.send_signal(signal.SIGINT)
            with pytest.raises(openai.APIError, match="the server ends"):
                list(pieces)
            lines = server.communicate(timeout=200)[0].splitlines()
        finally:
            server.kill()
    assert server.returncode == 0 and lines[-1] == "ended" and "Traceback" not in "".join(lines)

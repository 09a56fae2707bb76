"""The page of `video-panda demo`, asked through gradio's client as a browser asks it."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, wait
from copy import copy, deepcopy
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import torch

from tests.guides import REPOSITORY

pytest.importorskip("gradio")
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from video_panda import VideoPanda
from video_panda.demo.attention import attention_names, attention_pictures
from video_panda.demo.command import WAITING, free_port, served
from video_panda.demo.page import compared, heading

VIDEOS = REPOSITORY / "tests" / "data" / "videos"
CLIP, OTHER = VIDEOS / "chaplin.mp4", VIDEOS / "toy_pig.webm"
HOST = "127.0.0.1"


def talkative(model, count):
    """Return a model whose answers are all of one length."""
    panda = VideoPanda.from_pretrained(model, device="cpu", max_new_tokens=count)
    panda.model.generation_config.suppress_tokens = [panda.processor.tokenizer.eos_token_id]
    return panda


@pytest.fixture(scope="module")
def pandas(trained):
    """Two models, of which the second says more."""
    return {"full": talkative(trained[1], 4), "no_lste": talkative(trained[1], 9)}


@pytest.fixture(scope="module")
def address(pandas):
    with served(pandas, HOST, free_port(HOST, 0), 1, 60) as address:
        yield address


@pytest.fixture
def client(address):
    client = Client(address, verbose=False)
    yield client
    client.close()


def chat(messages):
    """Return the texts of a chat as the page shows it."""
    return [(message["role"], "".join(part["text"] for part in message["content"])) for message in messages]


def test_the_example_of_the_guide(trained, monkeypatch):
    (example,) = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "docs" / "demo.md").read_text(), re.M | re.S)
    monkeypatch.chdir(VIDEOS)
    with served({"full": (model := talkative(trained[1], 4))}, HOST, free_port(HOST, 0), 1, 60) as address:
        exec(example.replace("http://127.0.0.1:7860", address).replace("clip.mp4", CLIP.name), seen := {})
        seen["client"].close()
    assert chat(seen["chat"]) == [("user", "What is shown?"), ("assistant", model.ask(CLIP, "What is shown?"))]


def test_a_clip_is_shown_with_the_times_of_its_frames_and_what_models_attend_to(client, pandas):
    facts, frames, *views = client.predict(handle_file(CLIP), api_name="/read")[: 2 + 3]
    read = pandas["full"].read(CLIP)
    assert facts.replace("  \n", "\n") == str(read).replace(str(CLIP), CLIP.name)
    assert [frame["caption"] for frame in frames] == [f"{shown:.2f} s" for shown in read.times]
    assert len(views) == 3 and all(Path(view).is_file() for view in views)


def test_two_models_answer_as_they_do_alone_and_remember_their_own_answers(client, pandas):
    questions = ["What is shown?", "And what else?"]
    client.predict(handle_file(CLIP), api_name="/read")
    for question in questions:
        box, *chats = client.predict(question, api_name="/ask")
    assert box == ""
    for panda, messages in zip(pandas.values(), chats, strict=True):
        first = panda.ask(CLIP, questions[0])
        second = panda.ask(CLIP, questions[1], [(questions[0], first)])
        expected = [("user", questions[0]), ("assistant", first), ("user", questions[1]), ("assistant", second)]
        assert chat(messages) == expected
    assert chat(chats[0]) != chat(chats[1])  # they could not be exchanged


def test_a_new_clip_and_a_reset_begin_a_new_conversation(client, pandas):
    for begin in (lambda: client.predict(handle_file(OTHER), api_name="/read"),
                  lambda: client.predict(api_name="/reset")):  # fmt: skip
        client.predict(handle_file(CLIP), api_name="/read")
        client.predict("What is shown?", api_name="/ask")
        *_, first, second = begin()
        assert first == second == []
        _, messages, _ = client.predict("What is shown?", api_name="/ask")
        assert len(messages) == 2


def test_answers_come_word_by_word(client):
    client.predict(handle_file(CLIP), api_name="/read")
    job = client.submit("What is shown?", api_name="/ask")
    *_, last = job.result()
    seen = [chat(output[2])[-1][1] for output in job.outputs()]
    assert len(set(seen)) > 2 and all(later.startswith(earlier) for earlier, later in pairwise(seen))
    assert seen[-1] == chat(last)[-1][1]


@pytest.mark.parametrize("name", ["not_a_video.mp4", "truncated_no_moov.mp4", "audio_only.mp4"])
def test_what_is_no_clip_is_one_line_and_the_page_goes_on(client, name):
    with pytest.raises(AppError) as error:
        client.predict(handle_file(VIDEOS / "hard" / name), api_name="/read")
    assert str(error.value).startswith(f"{name}: ") and "\n" not in str(error.value)
    with pytest.raises(AppError, match=re.escape("Give a clip first.")):
        client.predict("What is shown?", api_name="/ask")
    client.predict(handle_file(CLIP), api_name="/read")
    assert client.predict("What is shown?", api_name="/ask")[1]


@pytest.mark.parametrize(("question", "line"), [("  ", "Type a question first."), ("why " * 3000, "is too long")])
def test_what_is_no_question_is_one_line_and_the_conversation_goes_on(client, question, line):
    client.predict(handle_file(CLIP), api_name="/read")
    client.predict("What is shown?", api_name="/ask")
    with pytest.raises(AppError, match=line) as error:
        client.predict(question, api_name="/ask")
    assert "\n" not in str(error.value) and str(CLIP.parent) not in str(error.value)
    assert len(client.predict("And what else?", api_name="/ask")[1]) == 4


def test_too_little_memory_is_one_line_and_the_conversation_goes_on(client, pandas, monkeypatch):
    def exhausted(*inputs, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    client.predict(handle_file(CLIP), api_name="/read")
    with monkeypatch.context() as patch:
        patch.setattr(pandas["no_lste"], "generate", exhausted)
        with pytest.raises(AppError, match=r"^the memory of the GPU does not suffice: .* --device cpu$"):
            client.predict("What is shown?", api_name="/ask")
    assert len(client.predict("What is shown?", api_name="/ask")[2]) == 2


def test_an_upload_that_is_too_large_is_refused(client, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(1_100_000))
    with pytest.raises(Exception, match=r"413|Too Large|large"):
        client.predict(handle_file(large), api_name="/read")


def requested(address, name, given):
    """Return how a request ends that is written by hand: the client would upload a file that exists here."""
    with httpx.Client(base_url=f"{address}gradio_api/call", timeout=60) as http:
        event = http.post(name, json={"data": [given]}).json()["event_id"]
        return re.findall(r"event: (\w+)\ndata: (.*)", http.get(f"{name}/{event}").text)[-1]


@pytest.mark.parametrize("path", ["/etc/passwd", str(REPOSITORY / "README.md"), str(CLIP)])
def test_only_uploads_are_read(address, path):
    assert httpx.get(f"{address}gradio_api/file={path}").status_code == 403
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for name in ("read", "ask"):
        assert requested(address, name, file)[0] == "error"


def test_no_address_is_loaded_that_a_request_names(address):
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(1)
        file = {"path": f"http://{HOST}:{server.getsockname()[1]}/a.mp4", "meta": {"_type": "gradio.FileData"}}
        for name in ("read", "ask"):
            how, line = requested(address, name, file)
            assert how == "error" and "addresses are not read" in line
        with pytest.raises(TimeoutError):
            server.accept()


def test_uploads_are_gone_when_the_demo_ends(pandas):
    with served(pandas, HOST, free_port(HOST, 0), 1, 60) as address:
        client = Client(address, verbose=False)
        client.predict(handle_file(CLIP), api_name="/read")
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert list(folder.rglob(CLIP.name))
        client.close()
    assert not folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


class Endless:
    """A model whose answers do not end by themselves."""

    def __init__(self, panda):
        self.panda = panda
        self.closed = threading.Event()

    def __getattr__(self, name):
        return getattr(self.panda, name)

    def stream(self, clip, question, before=()):
        try:
            while True:
                time.sleep(0.01)
                yield "on "
        finally:
            self.closed.set()


@pytest.fixture
def endless(pandas):
    model = Endless(pandas["full"])
    with served({"endless": model}, HOST, free_port(HOST, 0), 1, 60) as address:
        client = Client(address, verbose=False)
        yield model, client
        client.close()


def test_a_stopped_answer_ends_and_is_left_out(endless):
    model, client = endless
    client.predict(handle_file(CLIP), api_name="/read")
    job = client.submit("What is shown?", api_name="/ask")
    while len(job.outputs()) < 3:
        time.sleep(0.01)
    job.cancel()
    assert model.closed.wait(20)
    model.stream = model.panda.stream
    assert len(client.predict("What is shown?", api_name="/ask")[1]) == 2


@pytest.mark.long
def test_the_answer_to_a_client_that_goes_away_ends(endless):
    model, client = endless
    script = (
        "import sys, os, time\n"
        "from gradio_client import Client, handle_file\n"
        f"client = Client({client.src!r}, verbose=False)\n"
        f"client.predict(handle_file({str(CLIP)!r}), api_name='/read')\n"
        "job = client.submit('What is shown?', api_name='/ask')\n"
        "while len(job.outputs()) < 3: time.sleep(0.01)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)
    assert model.closed.wait(60)


def test_a_queue_that_is_full_refuses(endless):
    _, client = endless
    client.predict(handle_file(CLIP), api_name="/read")
    jobs = [client.submit("What is shown?", api_name="/ask")]
    while not jobs[0].outputs():
        time.sleep(0.01)
    jobs += [client.submit("What is shown?", api_name="/ask") for _ in range(WAITING + 1)]
    ended = [job for job in jobs if job not in wait(jobs, 120, FIRST_COMPLETED).not_done]
    assert len(ended) == 1
    assert "full" in str(ended[0].exception())
    for job in jobs:
        job.cancel()


def test_an_answer_has_a_time_limit(trained):
    panda = talkative(trained[1], 400)
    with served({"slow": panda}, HOST, free_port(HOST, 0), 1, 0.2) as address:
        client = Client(address, verbose=False)
        client.predict(handle_file(CLIP), api_name="/read")
        _, messages = client.predict("What is shown?", api_name="/ask")
        client.close()
    answer = chat(messages)[-1][1]
    assert 0 < len(panda.processor.tokenizer(answer, add_special_tokens=False).input_ids) < 400


def test_the_demo_contacts_nobody(pandas, monkeypatch):
    contacted = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: contacted.append(to[0]) or connect(self, to))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **most: (
        contacted.append(host), look_up(host, *more, **most))[1])  # fmt: skip
    with served(pandas, HOST, free_port(HOST, 0), 1, 60) as address:
        page = httpx.get(address).text
        time.sleep(1)
    assert contacted and {str(host) for host in contacted} <= {HOST, "localhost"}
    loaded = re.findall(r"""<(?:script|link)[^>]*(?:src|href)=["'](\w+:)?//[^"']*""", page)
    assert not loaded and "fonts.googleapis" not in page


def test_what_two_models_differ_in_is_said(pandas):
    first = pandas["full"]
    size = sum(parameter.numel() for parameter in first.model.parameters())
    assert heading("full", first) == f"### full\n{size / 1e6:.3g} M parameters"
    assert compared({"full": first}) == ""
    assert compared(pandas) == "**full -> no_lste:** no part differs, only the training"
    changed = VideoPanda(copy(first.model), first.processor)
    changed.model.config = deepcopy(changed.model.config)
    changed.model.config.encoder["init_args"]["local_encoding"] = {"class_path": "LSTE"}
    line = compared({"a": first, "b": changed})
    assert line == "**a -> b:** encoder.local_encoding: NoLocalEncoding -> LSTE"


def test_attention_is_that_of_the_views_and_leaves_the_model_as_it_was(pandas):
    panda = pandas["full"]
    before = panda.ask(CLIP, "What is shown?")
    pictures = attention_pictures(panda, CLIP, "a title")
    assert [*pictures] == attention_names(panda) == ["window_attention", "frame_attention", "video_attention"]
    frames = panda.read(CLIP).frames
    assert [*attention_pictures(panda, frames[:1], "")] == ["window_attention", "frame_attention"]  # as of a picture
    still = attention_pictures(panda, frames[:1].repeat(len(frames), 0), "a title")
    assert all(still[name].tobytes() != picture.tobytes() for name, picture in pictures.items())
    assert panda.ask(CLIP, "What is shown?") == before
    assert not any(module._forward_hooks for module in panda.model.modules())

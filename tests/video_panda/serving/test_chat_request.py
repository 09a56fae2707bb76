"""What a request may not say, and which clips it may not name, is refused in one line."""

import os
import tempfile
from pathlib import Path

import numpy as np
import openai
import pytest

from tests.video_panda.serving.served import (
    CLIP,
    QUESTION,
    ask,
    data,
    health,
    message,
    png,
    post,
    refused,
    said,
    serving,
    video,
)


@pytest.fixture(scope="module")
def client(panda):
    with serving(panda) as (_, client):
        yield client


REFUSED = {
    "is not supported": {"logit_bias": {"1": 2}},
    "frequency_penalty: .*equal to 0": {"frequency_penalty": 0.5},
    "tools: .*at most 0": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "response_format": {"response_format": {"type": "json_object"}},
    "temperature: .*less than or equal to 2": {"temperature": 3},
    "temperature: .*valid number": {"temperature": "hot"},
    "top_p: .*greater than 0": {"top_p": 0},
    "n: .*less than or equal to 8": {"n": 9},
    "max_tokens: .*greater than 0": {"max_tokens": 0},
    "give one of them": {"max_tokens": 1, "max_completion_tokens": 2},
    "stop.*at least 1 character": {"stop": [""]},
    r"asks for 7 frames; the model is shown \d+ frames": {"media_io_kwargs": {"video": {"num_frames": 7}}},
    "media_io_kwargs.video.fps is not supported": {"media_io_kwargs": {"video": {"fps": 1}}},
    "belongs to a request with stream": {"stream_options": {"include_usage": True}},
}


@pytest.mark.parametrize("match", REFUSED)
def test_a_setting_that_cannot_be_followed_is_named(client, match):
    with refused(openai.BadRequestError, match) as error:
        ask(client, message(), extra_body=REFUSED[match])
    assert error.value.body["param"] in REFUSED[match] and error.value.body["type"] == "invalid_request_error"


def test_settings_that_ask_for_nothing_are_taken(panda, client):
    nothing = {"frequency_penalty": 0, "presence_penalty": 0.0, "logprobs": False, "tools": [], "user": "x", "n": None}
    nothing["media_io_kwargs"] = {"video": {"num_frames": panda.processor.parts()[0].sampler.frames}}
    assert said(client, message(), extra_body=nothing | {"response_format": {"type": "text"}}) is not None


WRONG = {
    "role system; the system text belongs to the prompt": [message(role="system"), message()],
    "role developer": [message(), message(role="assistant"), message(role="developer")],
    "must be user, assistant": [message(), message()],
    "must be user, .* not user, assistant$": [message(), message(role="assistant")],
    "must be user, .* not tool": [message(role="tool")],
    r"messages\.0 has no text": [{"role": "user", "content": [video(data(CLIP))]}],
    r"messages\.0\.content must be text": [{"role": "user", "content": None}],
    r"messages\.0\.content\.0: a part must be text, or": [message({"type": "input_audio", "input_audio": {}})],
    r"content\.0\.fps is not supported": [message({**video(data(CLIP)), "fps": 2})],
    r"content\.0\.video_url\.uuid is not supported": [message({"type": "video_url", "video_url": {"uuid": "a"}})],
    r"content\.0 must have an address": [message({"type": "video_url"})],
    r"messages\.0\.tool_calls is not supported": [{**message(), "tool_calls": [{"id": "a"}]}],
    "about one video": [message(video(data(CLIP)), video(data(CLIP)))],
    "pictures that follow each other": [
        message({"type": "image_url", "image_url": "data:,"}, {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": "data:,"})
    ],
    "must be in the first message": [message(), message(role="assistant"), message(video(data(CLIP)))],
    "nothing is fetched from elsewhere": [message(video("https://example.com/clip.mp4"))],
    "given no folder with --media": [message(video(f"file://{Path(CLIP).resolve()}"))],
    "video_url: its data are not valid base64": [message(video("data:video/mp4;base64,????"))],
    "^video_url: cannot be opened as a video": [message(video(data(b"no video")))],
    "^video_url: empty file": [message(video(data(b"")))],
    "^video_url: cannot be opened": [message(video(data(Path(CLIP).read_bytes()[:20000])))],
    "the question word .* is too long: with its clip": [message(video(data(CLIP)), text="word " * 5000)],
    "more than 1048576 characters": [message(text="w" * (2**20 + 1))],
    "must have one size": [message({"type": "video", "video": [png(np.zeros((8, side, 3), "u1")) for side in (8, 9)]})],
    "^video 2: no picture": [message({"type": "video", "video": [png(np.zeros((8, 8, 3), "u1")), data(CLIP)]})],
    "8192x4096 are larger": [message({"type": "image_url", "image_url": png(np.zeros((4096, 8192, 3), "u1"))})],
}  # fmt: skip


@pytest.mark.parametrize("match", WRONG)
def test_messages_that_cannot_be_answered_are_refused_in_one_line(client, match):
    for stream in (False, True):
        with refused(openai.BadRequestError, match):
            ask(client, *WRONG[match], stream=stream)
    assert health(client)["requests"] == 0


def test_what_is_no_request_and_what_is_not_here(client):
    for content in (b"", b"{", b"[]", b'"text"', b"[" * 100_000, b"\xff\xfe", b'{"model": 1}', b'{"model": "toy"}'):
        reply = post(client, content=content)
        assert reply.status_code == 400 and "\n" not in reply.json()["error"]["message"]
    with refused(openai.NotFoundError, "there is no model 'gpt-4'; this server has 'toy'") as error:
        client.chat.completions.create(model="gpt-4", messages=[message()])
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    assert [model.id for model in client.models.list()] == [client.models.retrieve("toy").id] == ["toy"]
    with refused(openai.NotFoundError, "there is no model 'a/b'"):
        client.models.retrieve("a/b")
    with refused(openai.NotFoundError, "POST /v1/embeddings: Not Found"):
        client.embeddings.create(model="toy", input="x", encoding_format="float")
    assert post(client, "models").status_code == 405
    assert post(client, Content_Type="text/plain").status_code == 415  # what a web page may send without asking


def test_what_is_sent_is_no_longer_there_afterwards(client, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made, make = [], tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *args, **options: made.append(1) or make(*args, **options))
    said(client, message(video(data(CLIP))))
    with refused(openai.BadRequestError, "video_url: cannot be opened"):
        ask(client, message(video(data(b"no video"))))
    assert len(made) == 2 and list(tmp_path.iterdir()) == []


def test_no_file_outside_the_folder_is_opened(panda, tmp_path):
    clip = Path(CLIP).read_bytes()
    (tmp_path / "outside.mp4").write_bytes(clip)
    folder = tmp_path / "media"
    (folder / "sub").mkdir(parents=True)
    (folder / "clip.mp4").write_bytes(clip)
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "sub" / "up").symlink_to(tmp_path)
    (folder / "sub" / "same.mp4").symlink_to(folder / "clip.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (tmp_path / "short").symlink_to(folder)
    os.mkfifo(folder / "pipe.mp4")
    outside = [
        f"file://{tmp_path}/outside.mp4", "file://../outside.mp4", "file://%2e%2e/outside.mp4", "file://link.mp4",
        "file://sub/up/outside.mp4", "file:///etc/passwd", f"file://{folder}/../outside.mp4", "file://loop.mp4",
        "file://pipe.mp4", "file://sub", "file://", "file://a%00b", "file://" + "a" * 5000, "file://missing.mp4",
    ]  # fmt: skip
    with serving(panda, media=tmp_path / "short") as (_, client):
        for address in outside:
            with refused(openai.BadRequestError, "^video_url is no file in the folder"):
                ask(client, message(video(address)))
        for address in ("file://clip.mp4", "file://sub/same.mp4", f"file://{folder}/clip.mp4"):
            assert said(client, message(video(address))) == panda.ask(CLIP, QUESTION)
        for address in ("/etc/passwd", "FILE:///etc/passwd", "concat:clip.mp4", "ftp://a/b"):
            with refused(openai.BadRequestError, "nothing is fetched"):
                ask(client, message(video(address)))

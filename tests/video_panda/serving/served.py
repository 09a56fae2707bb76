"""A server in a thread, and what tests send to it."""

import base64
import io
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx2
import openai
import pytest
from PIL import Image

from video_panda.serving.command import Server, listening
from video_panda.serving.completions import ChatService
from video_panda.serving.media import Media

CLIP = "tests/data/videos/asl_eat_portrait.mp4"
QUESTION = "What is shown?"


@contextmanager
def serving(panda, key=None, media=None, rows=8, queue=64, timeout=120.0, max_upload=4, seconds=60.0):
    """Serve a model in a thread; yields service and client."""
    service = ChatService(panda, "toy", Media(media, seconds), rows, queue, timeout, max_upload)
    server = Server(service, key)
    place = listening("127.0.0.1", 0)
    url = f"http://127.0.0.1:{place.getsockname()[1]}/v1"
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    try:
        with openai.OpenAI(base_url=url, api_key=key or "none", max_retries=0) as client:
            yield service, client
    finally:
        server.should_exit = True
        service.close()
        thread.join()


def data(file, kind="video/mp4"):
    content = file if isinstance(file, bytes) else Path(file).read_bytes()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png(frame):
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG")
    return data(content.getvalue(), "image/png")


def video(address):
    return {"type": "video_url", "video_url": {"url": address}}


def message(*parts, text=QUESTION, role="user"):
    return {"role": role, "content": [*parts, {"type": "text", "text": text}]}


def ask(client, *messages, **settings):
    return client.chat.completions.create(model="toy", messages=list(messages), **settings)


def said(client, *messages, **settings):
    """Return the text of an answer, whole or from its pieces."""
    if not settings.get("stream"):
        return ask(client, *messages, **settings).choices[0].message.content
    chunks = list(ask(client, *messages, **settings))
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] in ("stop", "length")
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@contextmanager
def refused(kind, match):
    with pytest.raises(kind) as error:
        yield error
    line = error.value.body["message"]
    assert re.search(match, line) and "\n" not in line, line


@contextmanager
def held(panda, monkeypatch):
    """Let no batch begin before the event is set."""
    going, generate = threading.Event(), panda.generate
    with monkeypatch.context() as patch:
        patch.setattr(panda, "generate", lambda *args, **options: going.wait() and generate(*args, **options))
        yield going
        going.set()


def endless(panda, monkeypatch):
    """Make the model say letters until it is stopped; returns the number of each step in its batch.

    A step waits a little, as one of a large model does: all that fit take half a minute, far longer than a stop does on
    a machine that is busy.
    """
    steps, forward = [], panda.model.forward
    letters = panda.processor.tokenizer("o ", add_special_tokens=False).input_ids

    def letter(*args, **options):
        threading.Event().wait(0.005)
        output = forward(*args, **options)
        first = next(options[name] for name in ("inputs_embeds", "input_ids") if options.get(name) is not None)
        steps.append(0 if first.shape[1] > 1 else steps[-1] + 1)
        output.logits[..., letters[steps[-1] % 2]] = output.logits.max() + 1
        return output

    monkeypatch.setattr(panda.model, "forward", letter)
    return steps


def until(condition):
    """Wait for what another thread does."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


def health(client):
    return httpx2.get(str(client.base_url).replace("/v1/", "/health")).json()


def post(client, path="chat/completions", content=b"{}", **headers):
    kind = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{client.base_url}{path}", content=content, headers=kind, timeout=60)

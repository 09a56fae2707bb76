"""A served model answers as in its test, many at once, and refuses what it cannot answer in one line."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
import torch
from PIL import Image

from datamodules.video.open import open_video
from lightning_modules.cli import main
from tests.guides import REPOSITORY, commands
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from video_panda.batched_answers import Answer, Piece
from video_panda.completions import ChatService
from video_panda.media import Media
from video_panda.processing import joined
from video_panda.serve import KEY, Server, listening

CLIP = "tests/data/videos/asl_eat_portrait.mp4"
QUESTION = "What is shown?"


@pytest.fixture(scope="module")
def answered(trained):
    """Clip, question and answer of twenty and more questions of a test."""
    run = trained[0]
    small = [f"--data.root={run.parents[1]}/clips", *TINY, *SMALL_STEP, "--data.test_questions_per_family=3"]
    place = [f"--runs={run.parents[1]}", "--name=twenty", f"--ckpt_path={run}/checkpoints/last.ckpt"]
    main(["test", "--config=experiments/no_lste.yaml", *small, *place])
    (file,) = run.parents[1].glob("twenty/*/answers/test.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) >= 20 and len({row["prediction"] for row in rows}) > 1
    return [(row["video"], row["question"], row["prediction"]) for row in rows]


@contextmanager
def serving(panda, key=None, media=None, rows=8, queue=64, timeout=120.0, upload_mib=4, seconds=60.0):
    """Serve a model in a thread; yields service and client."""
    service = ChatService(panda, "toy", Media(media, seconds), rows, queue, timeout, upload_mib)
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


@pytest.fixture(scope="module")
def client(panda):
    with serving(panda) as (_, client):
        yield client


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
    with pytest.raises(kind, match=match) as error:
        yield error
    assert "\n" not in error.value.body["message"]


@contextmanager
def held(panda, monkeypatch):
    """Let no batch begin before the event is set."""
    going, generate = threading.Event(), panda.generate
    with monkeypatch.context() as patch:
        patch.setattr(panda, "generate", lambda *args, **options: going.wait() and generate(*args, **options))
        yield going
        going.set()


@pytest.fixture
def endless(panda, monkeypatch):
    """Make the model say letters until it is stopped; returns how many steps it has taken."""
    steps, forward = [], panda.model.forward
    letters = panda.processor.tokenizer("o ", add_special_tokens=False).input_ids

    def letter(*args, **options):
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


def health(client):
    return httpx2.get(str(client.base_url).replace("/v1/", "/health")).json()


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


def test_a_text_that_ends_an_answer_and_the_memory_of_the_model(panda, client, endless, monkeypatch):
    whole = said(client, message(), max_tokens=9)
    assert whole == "o o o o o"
    for stop, expected in (("o o o", ""), ([" ", "x"], "o"), ("x", whole)):
        for stream in (False, True):
            assert said(client, message(), max_tokens=9, stop=stop, stream=stream) == expected
    answer = ask(client, message(), max_tokens=9, stop=" ")
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 2)
    asked = panda.processor(QUESTION)["input_ids"].shape[1]
    monkeypatch.setattr(panda.processor, "max_length", asked + 12)
    answer = ask(client, message(), max_tokens=10**6, stop="x")
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 12)
    monkeypatch.setattr(panda.processor, "max_length", asked)
    with refused(openai.BadRequestError, "the question What is shown.* is too long"):
        ask(client, message(), max_tokens=1)


def test_the_pieces_of_an_answer_are_certain():
    words = {1: "  a", 2: " b", 3: "\ufffd", 4: "é", 5: " '", 6: " EN", 7: "D", 8: "s"}

    def decode(ids):  # 3 is half a letter, which 4 completes; no space before an apostrophe, once it is one
        return "".join(words[number] for number in ids).replace("\ufffdé", "é").replace(" 's", "'s")

    def pieces(*ids, stops=()):
        answer = Answer(0, decode, 99, stops, True)
        made = [answer.add(number, ends=place == len(ids) - 1) for place, number in enumerate(ids)]
        return [piece.text for piece in made if piece], answer.finish

    assert pieces(1, 2, 3, 4, 2) == (["a", " b", "é b"], "stop")
    assert pieces(1, 5, 8, 2) == (["a", "'s b"], "stop")
    assert pieces(1, 2, 6, 7, 2, stops=["END"])[0][:3] == ["a", " b", ""]
    texts, finish = pieces(1, 2, 6, 7, stops=["END"])
    assert ("".join(texts), finish) == ("a b", "stop")
    texts, finish = pieces(1, 2, 6, 2, 2, stops=["END"])
    assert "".join(texts) == "a b EN b b"
    whole = Answer(0, decode, 2, (), False)
    assert (whole.add(1, False), whole.add(2, False)) == (None, Piece(0, "a b", "length"))


def test_inputs_that_are_joined_are_those_of_the_processor(panda, answered):
    clips = [answered[0][0], None, CLIP]
    questions = [QUESTION, "Where?", "Where does it happen, and who is there?"]
    whole = panda.processor(questions, clips)
    apart = [panda.processor(question, clip) for question, clip in zip(questions, clips, strict=True)]
    joint = joined(apart, panda.model.generation_config.pad_token_id)
    assert joint.keys() == whole.keys() and all(torch.equal(joint[name], whole[name]) for name in whole)
    text = joined([apart[1]] * 2, panda.model.generation_config.pad_token_id)
    assert text.keys() == panda.processor(["Where?"] * 2).keys()


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
    "- video_url: cannot be opened as a video": [message(video(data(b"no video")))],
    "- video_url: empty file": [message(video(data(b"")))],
    "- video_url: cannot be opened": [message(video(data(Path(CLIP).read_bytes()[:20000])))],
    "the question word .* is too long: with its clip": [message(video(data(CLIP)), text="word " * 5000)],
    "more than 1048576 characters": [message(text="w" * (2**20 + 1))],
    "must have one size": [message({"type": "video", "video": [png(np.zeros((8, side, 3), "u1")) for side in (8, 9)]})],
    "- video 2: no picture": [message({"type": "video", "video": [png(np.zeros((8, 8, 3), "u1")), data(CLIP)]})],
    "8192x4096 are larger": [message({"type": "image_url", "image_url": png(np.zeros((4096, 8192, 3), "u1"))})],
}  # fmt: skip


@pytest.mark.parametrize("match", WRONG)
def test_messages_that_cannot_be_answered_are_refused_in_one_line(client, match):
    for stream in (False, True):
        with refused(openai.BadRequestError, match):
            ask(client, *WRONG[match], stream=stream)
    assert health(client)["requests"] == 0


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
            with refused(openai.BadRequestError, "^Error code: 400.*video_url is no file in the folder"):
                ask(client, message(video(address)))
        for address in ("file://clip.mp4", "file://sub/same.mp4", f"file://{folder}/clip.mp4"):
            assert said(client, message(video(address))) == panda.ask(CLIP, QUESTION)
        for address in ("/etc/passwd", "FILE:///etc/passwd", "concat:clip.mp4", "ftp://a/b"):
            with refused(openai.BadRequestError, "nothing is fetched"):
                ask(client, message(video(address)))


def post(client, path="chat/completions", content=b"{}", **headers):
    kind = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{client.base_url}{path}", content=content, headers=kind, timeout=60)


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


def test_a_key_is_asked_for(panda, capfd):
    with serving(panda, key="a secret of mine") as (_, client):
        assert said(client, message()) == panda.ask(None, QUESTION)
        for key in ("none", "a secret of min", "ä"):
            reply = post(client, Authorization=f"Bearer {key}".encode())
            assert reply.status_code == 401 and reply.json()["error"]["type"] == "authentication_error"
            assert httpx2.get(f"{client.base_url}models", headers={"Authorization": key.encode()}).status_code == 401
        assert health(client)["status"] == "ok"
    assert "secret" not in "".join(capfd.readouterr())


def test_a_request_that_is_too_large(panda):
    with serving(panda, upload_mib=0.01, seconds=0.5) as (service, client):
        large = json.dumps({"model": "toy", "messages": [message(video(data(CLIP)))]}).encode()
        assert len(large) > 20_000

        def parts():  # without a length in its head
            yield from (large[start : start + 1000] for start in range(0, len(large), 1000))

        for content in (large, parts()):
            reply = post(client, content=content)
            assert reply.status_code == 413 and reply.json()["error"]["message"] == "a request may have 0.01 MiB"
        service.upload_mib = 4
        with refused(openai.BadRequestError, r"video_url: \d+ s are more than the 0.5 s that this server takes"):
            ask(client, message(video(data(CLIP))))
        assert service.admitted == 0


def test_more_requests_than_may_wait(panda, monkeypatch):
    with held(panda, monkeypatch) as going, serving(panda, queue=3) as (service, client):
        with ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(said, client, message(), stream=number == 1) for number in range(3)]
            until(lambda: service.admitted == 3)
            with refused(openai.RateLimitError, "3 requests are waiting or being answered") as error:
                ask(client, message())
            assert error.value.response.headers["Retry-After"] == "1"
            going.set()
            assert [one.result() for one in waiting] == [panda.ask(None, QUESTION)] * 3
        assert said(client, message()) == panda.ask(None, QUESTION)
        assert service.admitted == 0


def test_a_request_that_takes_too_long(panda, monkeypatch):
    with held(panda, monkeypatch) as going, serving(panda, timeout=0.5) as (service, client):
        with refused(openai.InternalServerError, "no whole answer in the time that --timeout gives") as error:
            ask(client, message())
        assert error.value.status_code == 504
        with pytest.raises(openai.APIError, match="no whole answer in the time"):
            list(ask(client, message(), stream=True))
        going.set()
        until(lambda: service.admitted == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_stops_its_answer_and_no_other(panda, endless, stream):
    with serving(panda) as (service, client), ThreadPoolExecutor(1) as threads:
        if stream:
            pieces = ask(client, message(video(data(CLIP))), max_tokens=10**6, stream=True)
            next(pieces), next(pieces)
            pieces.close()
        else:
            with pytest.raises(openai.APITimeoutError):
                ask(client, message(video(data(CLIP))), max_tokens=10**6, timeout=1)
        other = threads.submit(said, client, message(), max_tokens=9)
        until(lambda: service.admitted == 0)
        assert other.result() == "o o o o o" and max(endless) < panda.processor.max_length - 200
        assert service.answers.running


def test_one_of_two_goes_away(panda, endless, monkeypatch):
    with held(panda, monkeypatch) as going, serving(panda) as (service, client), ThreadPoolExecutor(2) as threads:
        first = threads.submit(said, client, message(), max_tokens=3)
        until(lambda: service.admitted == 1)
        pieces = ask(client, message(), max_tokens=400, stream=True)
        stays = threads.submit(said, client, message(), max_tokens=41)
        until(lambda: service.admitted == 3)
        pieces.close()
        going.set()
        assert (first.result(), stays.result()) == ("o o", " ".join("o" * 21))
        until(lambda: service.admitted == 0)
        assert max(endless) < 60


def test_an_answer_that_fails_is_an_error_and_the_next_one_does_not(panda, monkeypatch):
    with serving(panda) as (service, client):
        with monkeypatch.context() as patch:
            patch.setattr(panda.model, "forward", None)
            with refused(openai.InternalServerError, "the answer failed with a TypeError; the server's log"):
                ask(client, message())
            with pytest.raises(openai.APIError, match="the answer failed with a TypeError"):
                list(ask(client, message(), stream=True))
            patch.setattr(panda.processor, "tokenizer", None)
            with refused(openai.InternalServerError, "the request failed with a "):
                ask(client, message(video(data(CLIP))))
        assert said(client, message()) == panda.ask(None, QUESTION) and service.admitted == 0


def test_the_end_of_the_server_ends_answers(panda, endless):
    with serving(panda) as (service, client):
        pieces = ask(client, message(), max_tokens=10**6, stream=True)
        next(pieces), next(pieces)
        service.answers.end_soon()
        with pytest.raises(openai.APIError, match="the server ends"):
            list(pieces)
        with pytest.raises(openai.InternalServerError, match="the server ends"):
            ask(client, message())
        assert httpx2.get(str(client.base_url).replace("/v1/", "/health")).status_code == 503
    assert max(endless) < panda.processor.max_length - 200


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
    for name in ("video_panda.serve", "video_panda.completions", "video_panda.chat_request"):
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

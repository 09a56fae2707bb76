"""Requests that may not be let in, last too long, fail, or are left by their client; and the end of the server."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from tests.video_panda.serving.served import (
    CLIP,
    QUESTION,
    ask,
    data,
    endless,
    health,
    held,
    message,
    post,
    refused,
    said,
    serving,
    until,
    video,
)


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
    with serving(panda, max_upload=0.01, seconds=0.5) as (service, client):
        large = json.dumps({"model": "toy", "messages": [message(video(data(CLIP)))]}).encode()
        assert len(large) > 20_000

        def parts():  # without a length in its head
            yield from (large[start : start + 1000] for start in range(0, len(large), 1000))

        for content in (large, parts()):
            reply = post(client, content=content)
            assert reply.status_code == 413 and reply.json()["error"]["message"] == "a request may have 0.01 MB"
        service.max_upload = 4
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
def test_a_client_that_goes_away_stops_its_answer_and_no_other(panda, monkeypatch, stream):
    steps = endless(panda, monkeypatch)
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
        assert other.result() == "o o o o o" and max(steps) < panda.processor.max_length - 200
        assert service.answers.running


def test_one_of_two_goes_away(panda, monkeypatch):
    steps = endless(panda, monkeypatch)
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
        assert max(steps) < 60


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


def test_the_end_of_the_server_ends_answers(panda, monkeypatch):
    steps = endless(panda, monkeypatch)
    with serving(panda) as (service, client):
        pieces = ask(client, message(), max_tokens=10**6, stream=True)
        next(pieces), next(pieces)
        service.answers.end_soon()
        with pytest.raises(openai.APIError, match="the server ends"):
            list(pieces)
        with pytest.raises(openai.InternalServerError, match="the server ends"):
            ask(client, message())
        assert httpx2.get(str(client.base_url).replace("/v1/", "/health")).status_code == 503
    assert max(steps) < panda.processor.max_length - 200

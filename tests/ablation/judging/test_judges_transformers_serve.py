"""A judge behind `transformers serve`: what a real server answers, and not what we think that one would."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import torch
from transformers import AutoTokenizer

from ablation.judging.judge import Comparison, JudgeError
from ablation.judging.prompted import JudgePrompt
from ablation.judging.server import ServerJudge
from tests.components.tiny_networks import save_tiny_network, tiny_network

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "openai")),
    reason="`transformers serve` needs transformers[serving], which the extra `dev` has",
)

ANSWERS = [Comparison(f"How many {n}?", str(n), str(n + n % 2)) for n in range(5)]
VERDICT = '{"pred": "yes", "score": 4}'
START, STOP = 180, 20  # seconds that the server may take


def save_judge(folder):
    """Save a network that has learnt to say VERDICT to whatever it is asked about these answers."""
    save_tiny_network("llama", folder, max_length=1024, layers=1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [JudgePrompt().messages(answer) for answer in ANSWERS]
    chats = [
        [{"role": "system", "content": message.system}, {"role": "user", "content": message.user}] for message in asked
    ]
    prompts = [tokenizer.apply_chat_template(c, add_generation_prompt=True, return_dict=False) for c in chats]
    reply = [*tokenizer(VERDICT, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    ids = torch.tensor([prompt + reply for prompt in prompts])
    network = tiny_network("llama", max_length=1024, layers=1).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(150):
        logits = network(input_ids=ids, logits_to_keep=len(reply) + 1).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -len(reply) :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server on the loopback address, which sees no network and no cache of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host=127.0.0.1", f"--port={port}"]
    alone = {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([*command, "--device=cpu"], env=os.environ | alone, stdout=log, stderr=log)
        try:
            end = time.monotonic() + START
            while not is_up(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_up(url):
    without_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxies.open(url, timeout=1) as response:
            return response.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@pytest.fixture
def judge_by(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    settings = {"base_url": server, "api_key_variable": None, "timeout": 30, "attempts": 2, "backoff": 0, "asks": 2}
    return lambda model: ServerJudge(model, parameters={"temperature": 0, "max_tokens": 40}, **settings)


@pytest.mark.long
def test_every_answer_is_judged_by_a_model_that_says_what_it_was_asked_for(judge_by, tmp_path):
    model = save_judge(tmp_path / "judge")
    judgements = judge_by(model).judge(ANSWERS)
    assert [(judgement.right, judgement.score, judgement.unjudged) for judgement in judgements] == [
        (True, 4.0, None)
    ] * len(ANSWERS)
    assert {judgement.reply for judgement in judgements} == {VERDICT}
    assert all(judgement.answered_by.startswith(model) for judgement in judgements)


@pytest.mark.long
def test_no_answer_is_lost_to_a_model_that_says_anything(judge_by, tmp_path):
    model = save_tiny_network("llama", tmp_path / "random", max_length=1024)
    judgements = judge_by(model).judge(ANSWERS)
    assert len(judgements) == len(ANSWERS)
    for judgement in judgements:
        assert judgement.right is judgement.score is None and judgement.reply
        assert "(asked 2 times)" in judgement.unjudged and judgement.answered_by.startswith(model)


def test_a_model_that_the_server_has_not_is_said(judge_by, tmp_path):
    judge = judge_by(str(tmp_path / "nowhere"))
    unjudged = [judgement.unjudged for judgement in judge.judge(ANSWERS)]
    assert all("status 500" in reason and "(2 attempts)" in reason for reason in unjudged)
    with pytest.raises(JudgeError, match="no reply to 10 questions in a row; the last time: status 500"):
        judge.judge(ANSWERS)

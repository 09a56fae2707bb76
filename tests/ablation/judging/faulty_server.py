"""A real server of chat completions on the loopback address, which fails as servers do."""

import contextlib
import gzip
import json
import random
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "slow", "half", "types", "drop")


def no_fault(question, attempt):
    return None


def seeded_faults(question, attempt):
    """Three in ten attempts fail, the same ones in every run and whatever order they come in."""
    rng = random.Random(f"{question} {attempt}")
    return rng.choice(FAULTS) if rng.random() < 0.3 else None


def verdict(prompt):
    """What the server's model thinks: right if the answer is the reference."""
    reference = re.search(r"^Reference answer: (.*)$", prompt, re.M)[1]
    right = reference == re.search(r"^Answer of the model: (.*)$", prompt, re.M)[1]
    return json.dumps({"pred": "yes" if right else "no", "score": 5 if right else 1})


class FaultyServer:
    """Answers by `reply(prompt)`, unless `fault(question, attempt)` says otherwise.

    `attempts` counts requests and `answered` whole replies, both per question; `requests` has (headers, body) of all;
    `ended` is released for every connection that ends, when its client wants to with protocol HTTP/1.1.
    """

    def __init__(self, fault=no_fault, reply=verdict, delay=0.0, models=("judge-2026",), protocol="HTTP/1.0"):
        self.fault, self.reply, self.delay, self.models = fault, reply, delay, models
        self.attempts, self.answered, self.requests = Counter(), Counter(), []
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.protocol, self.ended = protocol, threading.Semaphore(0)

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = self.protocol

            def log_message(self, *_):
                pass

            def do_POST(self):
                outer._handle(self)

            def finish(self):
                super().finish()
                outer.ended.release()

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # or a connection more than five has to wait for a second

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def _handle(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        question = re.search(r"^(?:First q|Q)uestion: (.*)$", prompt, re.M)[1]
        with self.lock:
            self.requests.append((dict(handler.headers), body))
            self.attempts[question] += 1
            attempt = self.attempts[question]
        self.closing.wait(self.delay)
        fault = self.fault(question, attempt)
        message = {"role": "assistant", "content": self.reply(prompt)}
        content = json.dumps(
            {"model": self.models[len(question) % len(self.models)], "choices": [{"index": 0, "message": message}]}
        )
        if fault == "slow":
            self.closing.wait(30)
        elif fault == "drop":
            handler.connection.close()
        elif fault == "half":
            send(handler, 200, content[: len(content) // 2])
        elif fault == "long":
            send(handler, 200, content + " " * (1 << 21))
        elif fault in ("bomb", "packed"):
            packed = gzip.compress((content + " " * (1 << 21) * (fault == "bomb")).encode())
            send(handler, 200, packed, {"Content-Encoding": "gzip"})
        elif fault == "drip":
            send(handler, 200, content + " " * 60, pause=0.05)
        elif fault == "headers":
            drip_headers(handler, self.closing)
        elif fault == "types":
            send(handler, 200, '{"choices": "yes"}')
        elif isinstance(fault, tuple):
            send(handler, *fault)
        elif fault is not None:
            send(handler, int(fault), '{"error": "not now"}', {"Retry-After": "0"})
        else:
            with self.lock:
                self.answered[question] += 1
            send(handler, 200, content)


def drip_headers(handler, closing):
    """Send the bytes of a header one by one for ten seconds, as long as somebody reads them."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        for _ in range(200):
            handler.wfile.write(b"a")
            if closing.wait(0.05):
                break


def send(handler, status, content, headers=None, pause=0.0):
    """Send the last 60 bytes one by one with a pause after each, if there is one."""
    body = content if isinstance(content, bytes) else content.encode()
    at_once = len(body) - 60 if pause else len(body)
    try:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:at_once])
        for byte in body[at_once:]:
            handler.wfile.write(bytes([byte]))
            time.sleep(pause)
    except OSError:
        pass  # nobody waits for it any more

"""Files of stored answers, and how to ask a server on the loopback address."""

import json

SETTINGS = ("--judge.api_key_variable=JUDGE_KEY", "--judge.backoff=0.01")


def row(number, **more):
    """One answer; every third is wrong, and every other video has two questions."""
    return {
        "id": f"q{number}",
        "family": "count",
        "question": f"How many {number}?",
        "reference": f"{number}",
        "prediction": f"{number if number % 3 else number + 1}",
        "right": True,
        **more,
    }


def save_answers(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

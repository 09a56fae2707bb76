"""Small files of conversations, with empty files in place of the clips."""

import json


def make_media(root, *names):
    """Create empty files below `root`; return it."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def llava(video="a.mp4", *values, **more):
    """A record of LLaVA's form with alternating turns; a question and an answer if none are given."""
    values = values or ("<video>\nWhat?", "That.")
    turns = [{"from": ("human", "gpt")[index % 2], "value": value} for index, value in enumerate(values)]
    return {"video": video, "conversations": turns, **more}


def write(path, content):
    """Write text as it is and anything else as JSON, JSON lines where the name says so; return the path."""
    if path.suffix == ".jsonl" and not isinstance(content, str):
        content = "".join(json.dumps(item) + "\n" for item in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path

"""Does to a run folder what a training does, at once: `python pretended_training.py HOW --name=... ...`.

HOW is what happens: `finishes`; `finishes_in_shards`, with a checkpoint that is a folder; `finishes_after_NAME`, once
that one goes on; `fails`; `fails_once`, with a checkpoint;
`goes_on`, until SIGTERM lets it save one and end; `deaf`, which only SIGKILL ends. Its configuration is `--kept`.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (no_limit, no_limit))  # a disk that is full for the sweep alone
how, *words = sys.argv[1:]
options = dict(word.removeprefix("--").split("=", 1) for word in words)
folder = Path(options["runs"], options["name"], f"seed_{options['seed_everything']}")
checkpoint = folder / "checkpoints" / "last.ckpt"


def save(*_):
    file = checkpoint / "meta.pt" if how == "finishes_in_shards" else checkpoint
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(os.urandom(64))  # no two trainings end with the same weights


def stop(*_):
    save()
    sys.exit(1)


if "ckpt_path" not in options:
    there = [path.name for path in folder.glob("*")]
    assert there in ([], ["stage.json"]), f"a new run never goes to an old folder, which has {there}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(options.get("kept", "{}"))
start = options.get("init_from")
facts = {
    "tested": options.get("test_after_fit"),
    "init_from": start,
    "weights": start and Path(start).is_file() and Path(start).read_bytes().hex(),
}
facts |= {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "VIDEO_PANDA_STARTED_BY")}
with Path(options["runs"], "trained.jsonl").open("a") as file:
    file.write(
        json.dumps({"job": options["name"], "from": options.get("ckpt_path"), "at": time.time(), **facts}) + "\n"
    )
if how == "fails" or (how == "fails_once" and "ckpt_path" not in options):
    if how == "fails_once":
        save()
    print("error: the batch is too large")
    sys.exit(1)
if how in ("goes_on", "deaf") and "ckpt_path" not in options:
    signal.signal(signal.SIGTERM, stop if how == "goes_on" else signal.SIG_IGN)
    Path(folder, "starting").write_text(str(os.getppid()))
    Path(folder, "starting").rename(folder / "ready")
    time.sleep(100)
if how.startswith("finishes_after_"):
    other = Path(options["runs"], how.removeprefix("finishes_after_"), folder.name, "ready")
    while not other.exists():
        time.sleep(0.01)
time.sleep(0.3)
save()
(folder / "summary.json").write_text('{"steps": 8, "figures": {"train/minutes": 1.0}}')

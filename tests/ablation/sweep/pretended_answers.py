"""Does to a run folder what a training with a test at its end does: `python pretended_answers.py --name=... ...`.

How many of 120 answers are right depends on the experiment's name and the seed: `worse` has fewer, `same` as many
as `full`, and `between` is between the two. `never` fails always, and `once` with seed 1.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.ablation.comparing.run_folders import config, rows, write_run

options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
name, seed = options["name"].partition("+")[0], int(options["seed_everything"])
if name == "never" or (name == "once" and seed == 1):
    print("error: the batch is too large")
    sys.exit(1)
time.sleep(float(options.get("takes", 0)))
right = {"worse": 30, "between": 46}.get(name, 51) + (1, -1, 0, 1, 0, -1)[(seed + len(name)) % 6]
both = [2] * right + [1] * (57 - right) + [0] * 3
settings = config(seed, local_encoding=name) | {"test_after_fit": "test_after_fit" not in options}
folder = write_run(Path(options["runs"]), options["name"], seed, rows(both), settings=settings)
(folder / "checkpoints").mkdir()
(folder / "checkpoints/last.ckpt").write_text(f"{name} {seed}")

"""Does to a run folder what a training with a test at its end does, at once: `full` gets more right than others."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.ablation.comparing.run_folders import BAD, GOOD, config, rows, write_run

options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
if options["name"] == options.get("model.fails"):
    sys.exit(1)
seed = int(options["seed_everything"])
answers = rows(GOOD if options["name"] == "full" else BAD)
folder = write_run(Path(options["runs"]), options["name"], seed, answers, settings=config(seed))
(folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("datamodules.X", "d.ShapesInMotion"))

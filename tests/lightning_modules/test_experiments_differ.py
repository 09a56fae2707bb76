"""No two experiments are the same at toy scale: each answers a question of its own."""

import json
from itertools import combinations
from pathlib import Path

import pytest

import components.distillation
from lightning_modules.resolve import resolve


def made_of(*arguments):
    """Model, data and stage that a command line comes to; hidden states by number, whichever way they are chosen."""
    config = resolve(["fit", *arguments]).config.as_dict()
    model, chosen = config["model"], config["model"]["distillation"]
    kind = getattr(components.distillation, chosen["class_path"].rsplit(".", 1)[-1])
    layers = model["language_model"]["init_args"].get("layers", 32)
    hidden_layers = kind(64, layers, 48, **chosen.get("init_args", {})).hidden_layers
    for setting in ("every", "layers"):
        chosen.get("init_args", {}).pop(setting, None)
    return json.dumps([model, config["data"], hidden_layers], sort_keys=True, default=str)


@pytest.mark.long
def test_no_two_experiments_are_the_same(tmp_path):
    # In a run of one stage `stage1_full_data` is the full model; its question is asked in the first stage.
    first_stage = {"stage1_full_data": ["--config=configs/stage/align.yaml"]}
    settings = {
        file.stem: made_of(f"--config={file}", *first_stage.get(file.stem, []), f"--runs={tmp_path}")
        for file in sorted(Path("experiments").glob("*.yaml"))
    }
    full = [f"--config={file}" for file in ("experiments/full.yaml", "configs/stage/align.yaml")]
    settings["full in the first stage"] = made_of(*full, f"--runs={tmp_path}")
    same = [(a, b) for a, b in combinations(settings, 2) if settings[a] == settings[b]]
    assert not same

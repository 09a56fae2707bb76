"""Every YAML file that is shipped parses, builds and takes a step; every experiment changes what it says."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from components.encoders import VideoEncoder
from components.registry import slots
from components.stab import Chunking, DenseConnection, DownsamplingPlacement, NormalisationStatistics
from lightning_modules.callbacks.part_report import effects, inert
from lightning_modules.config.chain import base_files, read_config
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.resolve import resolve
from tests.guides import commands
from tests.random_weights import random_weights

SCALES = sorted(Path("configs/scale").glob("*.yaml"))
EXPERIMENTS = sorted(Path("experiments").glob("*.yaml"))
# Those of full size need files that are not here, see test_full_size.py.
FULL_SIZE = {*Path("configs/llm").iterdir(), *(Path(f"configs/scale/{scale}.yaml") for scale in ("paper", "small"))}
# There is nothing to learn from these, see test_benchmark_runs.py.
ASKED = {*Path("configs/benchmarks").iterdir(), *Path("configs/data").glob("*_qa.yaml")}
CONFIGS = sorted({*Path("configs").rglob("*.yaml")} - FULL_SIZE - ASKED)
ZERO = Path("configs/trainer/zero2.yaml")  # without CUDA: test_strategy.py
REMOVED = {  # what must have no parameters left
    "no_row_tokens": ["row_tokens"],
    "no_fsra": ["frame_aggregator"],
    "lsd_average_pool": ["downsampling"],
    "no_lste": ["local_encoding"],
    "no_gstra": ["video_aggregator"],
    "no_gstra_no_lste": ["video_aggregator", "local_encoding"],
    "no_position_encoding": ["local_encoding.position_encoding"],
    "no_dense_connection": ["local_encoding.connection"],
    "half_resolution": ["downsampling"],
    "fusion_sum": ["fusion"],
    "eve": ["fusion", "local_encoding", "video_aggregator"],
}
# These only arrange other parts, so they have no parameters to lose.
ARRANGEMENTS = (Chunking, DownsamplingPlacement, DenseConnection, NormalisationStatistics)
# Questions about what is shown and not about the model: they set this one slot of the data.
DATA_SLOT = {
    "blind": "shown_frames",
    "frames_4": "sampler",
    "frames_16": "sampler",
    "frames_32": "sampler",
    "stage1_full_data": "train_records",
    "official_flip": "augmentation",
}


COMMANDS = commands("python -m lightning fit")
TRAININGS = [arguments for arguments in COMMANDS if "scale/paper" not in arguments]  # for these see test_full_size.py


def names(paths):
    return [path.stem for path in paths]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=names(EXPERIMENTS))
def test_an_experiment_trains_and_leaves_nothing_of_what_it_removes(run, experiment):
    files = [f"--config={file}" for file in (experiment, *random_weights(experiment))]
    cli = run("fit", *files, "--trainer.fast_dev_run=1")
    assert cli.trainer.global_step == 1
    parts = tuple(slots(VideoEncoder).values())
    empty = [
        slot
        for slot, part in cli.model.encoder.named_modules()
        if isinstance(part, parts) and not isinstance(part, ARRANGEMENTS) and not list(part.parameters())
    ]
    assert sorted(empty) == sorted(REMOVED.get(experiment.stem, []))
    assert not inert(effects(cli.model.encoder)), "noise on the parameters of these changes no token"
    learnt = cli.trainer.optimizers[0].state  # AdamW has a state for parameters that got a gradient, and only for them
    unused = [
        name for name, parameter in cli.model.named_parameters() if parameter.requires_grad and parameter not in learnt
    ]
    assert not unused, "these take no part in the loss"


@pytest.mark.long
@pytest.mark.parametrize("config", CONFIGS, ids=names(CONFIGS))
def test_a_config_goes_with_the_full_model_in_either_order(run, config):
    if config == ZERO and not (torch.cuda.is_available() and find_spec("deepspeed")):
        pytest.skip("DeepSpeed takes steps on CUDA only")
    tiny = "real_clips" not in config.name
    for files in ((config, "experiments/full.yaml"), ("experiments/full.yaml", config)):
        arguments = [f"--config={file}" for file in files]
        cli = run("fit", *arguments, "--trainer.fast_dev_run=1", tiny=tiny)
        assert cli.trainer.global_step == 1


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES, ids=lambda path: path.stem)
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=names(EXPERIMENTS))
def test_a_scale_and_an_experiment_give_the_same_in_either_order(experiment, scale):
    first, second = (
        resolve(["fit", f"--config={a}", f"--config={b}"]).config.as_dict()
        for a, b in ((experiment, scale), (scale, experiment))
    )
    for part in ("model", "data", "trainer"):
        assert first[part] == second[part]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=names(EXPERIMENTS))
def test_the_scale_that_an_experiment_builds_on_changes_nothing_when_named(experiment):
    alone, named = (
        resolve(["fit", *(f"--config={file}" for file in files)]).config.as_dict()
        for files in ([experiment], [experiment, "configs/scale/toy.yaml"])
    )
    for part in ("model", "data", "trainer"):
        assert alone[part] == named[part]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=names(EXPERIMENTS))
def test_an_experiment_is_a_small_difference_with_its_source_on_top(experiment):
    assert experiment.read_text().startswith("# ")
    assert len(base_files(experiment)) == 1
    config = read_config(experiment)
    scales = config.pop("at_scale", {})
    assert set(scales) in (set(), {path.stem for path in SCALES}), "what one scale needs, the others do too"
    lines = [line for line in experiment.read_text().split("\nat_scale:")[0].splitlines() if not line.startswith("#")]
    assert len(lines) <= 10
    if experiment.stem in DATA_SLOT:
        assert set(config) == {"base", "data"}
        assert list(config["data"]["init_args"]) == [DATA_SLOT[experiment.stem]]
    elif experiment.stem != "full":
        assert set(config) == ({"base"} if scales and len(config) == 1 else {"base", "model"}), (
            "an experiment sets slots, not sizes or data"
        )


def test_the_difference_is_said_before_training(run, capsys):
    run("fit", "--config", "experiments/no_lste.yaml", "--trainer.fast_dev_run=1")
    output = capsys.readouterr().out.split("no_lste changes")[1]
    changed = [line.strip() for line in output.splitlines() if line.strip().startswith("model.")]
    assert changed == ["model.encoder.local_encoding: LSTE -> NoLocalEncoding"]


def test_what_it_changes_in_size_is_said_and_kept(run, capsys):
    cli = run("fit", "--config", "experiments/no_lste.yaml", "--trainer.max_steps=1", "--trainer.limit_val_batches=0")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.endswith(" parameters")]
    full, left = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+", lines[0]))
    removed = int(re.fullmatch(r"encoder.local_encoding: ([\d,]+) -> 0 parameters", lines[1])[1].replace(",", ""))
    assert len(lines) == 2 and lines[0].startswith("encoder: ")
    assert left == sum(parameter.numel() for parameter in cli.model.encoder.parameters()) == full - removed
    assert all(line in (cli.folder / "origin.txt").read_text() for line in lines)


def test_a_flag_wins_over_files_and_reaches_the_slot(clips, tmp_path):
    cli = ExperimentCLI(
        ["fit", "--config", "experiments/no_lste.yaml", "--model.encoder.local_encoding=LSTE",
         "--model.encoder.width=32", "--trainer.fast_dev_run=1", f"--data.root={clips}", "--data.train_clips=4",
         "--data.val_questions_per_family=1", "--data.test_questions_per_family=1", "--data.turns_per_record=9",
         "--data.batch_size=2", "--trainer.accelerator=cpu", f"--runs={tmp_path}"]
    )  # fmt: skip
    assert cli.model.component_names()["encoder.local_encoding"] == "LSTE"
    assert cli.model.encoder.width == 32


def test_the_guide_lists_every_experiment_and_no_other():
    guide = Path("docs/experiments.md").read_text()
    assert set(names(EXPERIMENTS)) <= set(re.findall(r"`(?:experiments/)?([a-z0-9_]+)(?:\.yaml)?`", guide))
    listed = "".join(line for line in guide.splitlines() if line.startswith(("| Table", "| not in the")))
    assert set(re.findall(r"`([a-z0-9_]+)`", listed)) <= set(names(EXPERIMENTS))


def test_the_guides_have_trainings():
    assert len(TRAININGS) >= 3


@pytest.mark.parametrize("arguments", TRAININGS)
def test_a_training_of_the_guides_takes_a_step(run, arguments):
    more = [f"--config={file}" for file in random_weights(arguments)]
    cli = run("fit", *shlex.split(arguments), *more, "--trainer.fast_dev_run=1", tiny="real_clips" not in arguments)
    assert cli.trainer.global_step == 1


def test_slots_within_slots_are_named_too(run):
    cli = run("fit", "--config", "experiments/no_dense_connection.yaml", "--trainer.fast_dev_run=1",
              "--model.language_model.adapter=LoRA")  # fmt: skip
    names = cli.model.component_names()
    assert names["encoder.local_encoding.connection"] == "NoDenseConnection"
    assert names["language_model.adapter"] == "LoRA"

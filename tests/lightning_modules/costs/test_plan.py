"""`video-panda plan`: the sizes and steps of real trainings, and a memory estimate near what a step takes."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks.training_memory import CASES, WEIGHTS, compare
from lightning_modules.cli import main
from lightning_modules.costs.peak_memory import precision_of
from lightning_modules.costs.plan import plan
from lightning_modules.costs.schedule import devices_of
from lightning_modules.costs.sharding import on_each_device, on_each_host
from lightning_modules.costs.training_memory import GIB, TrainingMemory, training_batch, training_memory
from lightning_modules.resolve import resolve_at_paper_scale
from tests.components.tiny_networks import save_tiny_network
from tests.guides import commands
from tests.lightning_modules.short_run import NO_LSTE

FULL = ("--config", "experiments/full.yaml")
TOY = ("--config", "configs/scale/toy.yaml")
PAPER_SAMPLES = ("--samples", "702000")


def planned(capsys, *arguments):
    main(["plan", *arguments])
    return capsys.readouterr().out


def as_json(capsys, *arguments):
    (stages,) = json.loads(planned(capsys, *arguments, "--format", "json")).values()
    return stages


@pytest.mark.long
def test_the_papers_training(capsys):
    stages = as_json(capsys, *FULL, *PAPER_SAMPLES, "--trainer.devices=4", "--trainer.num_nodes=16")
    assert list(stages) == ["align", "integrate", "instruct"]
    for stage, samples, per_step in (
        ("align", 351_000, 2048),
        ("integrate", 702_000, 2048),
        ("instruct", 702_000, 1024),
    ):
        schedule = stages[stage]["schedule"]
        assert (schedule["samples"], schedule["samples_per_step"], schedule["devices"]) == (samples, per_step, 64)
        assert schedule["steps"] == -(-samples // per_step)
        assert stages[stage]["input"]["visual_tokens"] == 8 * (16 * 17 + 1)
        parts = stages[stage]["parameters"]
        assert parts["encoder"]["total"] + parts["projector"]["total"] == 45_066_578
        assert parts["language_model"] == {"total": 6_738_415_616, "trained": 0 if stage == "align" else 6_738_415_616}
        assert parts["teacher"] == {"total": 387_380_224, "trained": 0}
        # Weights of float32, of which frozen ones of linear layers are held in bfloat16; as many of the gradients, and
        # two moments.
        rounded = _frozen_linear(["experiments/full.yaml", f"configs/stage/{stage}.yaml"])
        trained, total = (sum(part[kind] for part in parts.values()) for kind in ("trained", "total"))
        memory = stages[stage]["memory_gib"]
        assert memory["gradients"] == memory["exchange"] == pytest.approx(trained * 4 / 2**30)
        assert memory["optimiser"] == pytest.approx(2 * memory["gradients"])
        assert memory["weights"] == pytest.approx((4 * total - 2 * rounded) / 2**30, rel=1e-3)
        assert memory["peak"] > sum(memory[part] for part in ("weights", "optimiser", "exchange", "activations"))


def _frozen_linear(files, settings=()):
    """Return the number of frozen weights in linear layers of the language model and the teacher."""
    model = resolve_at_paper_scale(files, settings).model_on_meta()
    layers = [
        layer
        for part in (model.language_model, model.teacher)
        for layer in part.modules()
        if isinstance(layer, torch.nn.Linear)
    ]
    return sum(weight.numel() for layer in layers for weight in layer.parameters() if not weight.requires_grad)


def test_a_language_model_in_four_bits(tmp_path, capsys):
    """Its weights take 33 bits for 8 of them; QLoRA trains, and weights alone are refused as in a training."""
    folder = save_tiny_network("llama", tmp_path / "pretrained", max_length=4096)
    in_nf4 = (
        f"--model.language_model.init_args.name_or_path={folder}",
        "--model.language_model.init_args.quantization=NF4",
    )
    stage = ("--stages", "configs/stage/instruct.yaml")
    lora, qlora = (
        as_json(capsys, *FULL, *stage, "--samples", "100", *flags)["instruct"]
        for flags in (
            (in_nf4[0], "--model.language_model.init_args.adapter=LoRA"),
            (*in_nf4, "--model.language_model.init_args.adapter=QLoRA"),
        )
    )
    assert qlora["parameters"] == lora["parameters"]
    assert 0 < qlora["memory_gib"]["weights"] < lora["memory_gib"]["weights"]
    assert qlora["host_gib"] < lora["host_gib"]
    with pytest.raises(SystemExit):
        planned(capsys, *FULL, *stage, "--samples", "100", *in_nf4)
    assert "quantised weights cannot learn" in capsys.readouterr().err


def test_frozen_weights_are_halved_in_mixed_precision_unless_they_are_sharded(tmp_path):
    folder = save_tiny_network("llama", tmp_path / "pretrained", max_length=2048)
    files = [
        "experiments/full.yaml",
        "configs/scale/toy.yaml",
        "configs/stage/align.yaml",
        "configs/llm/qwen2_5_7b.yaml",
    ]
    settings = [f"--model.language_model.name_or_path={folder}", "--data.batch_size=1", "--data.train_clips=8"]
    mixed = [*settings, "--trainer.precision=bf16-mixed"]
    exact, held = (
        plan(resolve_at_paper_scale(files, flags), 16)["memory_gib"]["weights"] for flags in (settings, mixed)
    )
    assert (exact - held) * GIB == 2 * _frozen_linear(files, settings) > 0
    sharded = plan(resolve_at_paper_scale([*files, "configs/trainer/fsdp.yaml"], mixed), 16)
    assert sharded["memory_gib"]["weights"] == exact


def test_a_step_takes_memory_only_where_its_losses_are_scaled():
    case = resolve_at_paper_scale(["experiments/no_distillation.yaml", "configs/scale/toy.yaml"], WEIGHTS)
    peaks = {}
    for name in ("32-true", "16-mixed"):
        model, precision = case.model_on_meta(), precision_of(name)
        batch = training_batch(model, case.frames(), case.data.canvas, case.data.batch_size, 64, torch.device("meta"))
        memory = training_memory(model, batch, precision, accumulates=False)
        assert memory.gradients > memory.activations
        peaks[name] = (memory.peak - memory.weights - memory.optimiser) / memory.gradients
    assert peaks == {"32-true": 1, "16-mixed": 2}


def test_sizes_that_a_file_of_the_users_sets_stay(tmp_path):
    sizes = "{model: {encoder: {init_args: {width: 32}}}, data: {init_args: {canvas: 36, batch_size: 3}}}"
    (tmp_path / "sizes.yaml").write_text(sizes)
    (tmp_path / "mine.yaml").write_text(f"base: [{Path('experiments/no_lste.yaml').resolve()}, sizes.yaml]\nname: mine")
    full, mine = "experiments/full.yaml", str(tmp_path / "mine.yaml")
    for files in ([mine], [full, str(tmp_path / "sizes.yaml")], [mine, "configs/stage/align.yaml"]):
        config = resolve_at_paper_scale(files).config
        sizes = (config.model.encoder.init_args.width, config.data.init_args.canvas, config.data.init_args.batch_size)
        assert sizes == (32, 36, 3)
        assert config.model.language_model.init_args.name_or_path == "lmsys/vicuna-7b-v1.5"  # not theirs
    resolved = resolve_at_paper_scale([full, mine, "configs/scale/paper.yaml"])
    assert resolved.scale == "paper" and resolved.config.model.encoder.init_args.width == 1024  # asked for behind it


def test_a_configuration_that_is_complete_is_planned_as_it_is(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["fit", *FULL, "--model.encoder.width=32", "--print_config"])
    content = yaml.safe_load(capsys.readouterr().out) | {"base": None}  # as a run keeps it
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    resolved = resolve_at_paper_scale([str(tmp_path / "config.yaml")])
    assert resolved.scale == "given" and resolved.config.model.encoder.init_args.width == 32
    assert resolved.config.model.language_model.class_path.endswith("TinyLlama")


@pytest.mark.long
@pytest.mark.parametrize("arguments", commands("video-panda plan"))
def test_a_plan_of_the_guides(capsys, arguments):
    assert "GiB on each device" in planned(capsys, *shlex.split(arguments))


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [
        ("--data.batch_size=2",),
        ("--data.batch_size=1", "--model.stage.global_batch=3"),
        ("--data.batch_size=1", "--trainer.limit_train_batches=4"),
        ("--data.batch_size=1", "--trainer.limit_train_batches=0.5"),
    ],
)
def test_steps_and_sizes_are_those_of_a_training(run, clips, settings):
    flags = ["--data.train_clips=7", "--data.turns_per_record=9", "--trainer.max_epochs=2", *settings]
    cli = run("fit", *NO_LSTE, *flags, "--model.stage.language_model=0", "--trainer.limit_val_batches=0",
              "--test_after_fit=false")  # fmt: skip
    files = ["experiments/no_lste.yaml", "configs/scale/toy.yaml"]
    record = plan(resolve_at_paper_scale(files, [*flags, "--model.stage.language_model=0"]), 16)
    assert record["schedule"]["steps"] == cli.trainer.global_step
    assert record["schedule"]["samples"] == len(cli.datamodule.records("train"))
    for name, part in cli.model.groups().items():
        counts = {
            "total": sum(parameter.numel() for parameter in part.parameters()),
            "trained": sum(parameter.numel() for parameter in part.parameters() if parameter.requires_grad),
        }
        assert record["parameters"][name] == counts
    assert record["parameters"]["language_model"]["trained"] == 0


@pytest.mark.long
@pytest.mark.parametrize("case", ["toy", "more weights than activations", "medium, LoRA"])
def test_memory_is_near_what_a_step_takes(case):
    experiment, files, settings = CASES[case]
    found = compare(resolve_at_paper_scale([f"experiments/{experiment}.yaml", *files], settings), torch.device("cpu"))
    assert found["expected / measured"] == pytest.approx(1, abs=0.12)


def test_strategies_split_what_they_say():
    model = resolve_at_paper_scale(["experiments/full.yaml", "configs/scale/toy.yaml"]).model_on_meta()
    weights = sum(parameter.numel() for parameter in model.parameters()) * 4
    teacher = sum(parameter.numel() for parameter in model.teacher.parameters()) * 4
    alone = TrainingMemory(weights, weights - teacher, 2 * (weights - teacher), 1000, 0, 0, accumulates=False)
    single = precision_of("32-true")
    assert on_each_device(alone, model, single, "auto", 1, 1) == alone
    replicated = on_each_device(alone, model, single, "ddp", 2, 2)
    assert replicated == replace(alone, exchange=alone.gradients)
    views = resolve_at_paper_scale(["experiments/full.yaml", "configs/trainer/ddp.yaml"]).config.trainer.strategy
    assert on_each_device(alone, model, single, views, 2, 2) == alone
    strategy = resolve_at_paper_scale(["experiments/full.yaml", "configs/trainer/fsdp.yaml"]).config.trainer.strategy
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert on_each_host(model, views, 4) == 4 * (weights + buffers)  # every process builds the model
    in_files = sum(weight.nbytes for weight in model.language_model.parameters())
    assert on_each_host(model, strategy, 4) == 4 * (weights + buffers - in_files)
    (sharded,) = {on_each_device(alone, model, single, strategy, 4, machines) for machines in (1, 2)}
    assert sharded.weights == weights // 4  # as much with more machines
    cache = ["--model.feature_cache=DiskFeatureCache", "--model.feature_cache.folder=features"]
    cached = resolve_at_paper_scale(["experiments/full.yaml", "configs/scale/toy.yaml"], cache)
    asked_by_some = on_each_device(alone, cached.model_on_meta(), single, strategy, 4, 1)
    assert asked_by_some.weights == teacher + (weights - teacher) // 4
    assert sharded.gradients == alone.gradients // 4 and sharded.optimiser == alone.optimiser // 4
    assert 0 < sharded.exchange < 2 * weights
    # The two layers that are gathered take half the bytes.
    mixed = on_each_device(alone, model, precision_of("bf16-mixed"), strategy, 4, 1)
    largest = sorted(sum(weight.nbytes for weight in unit.parameters()) for unit in model.units())[-2:]
    assert sharded.exchange - mixed.exchange == sum(largest) // 2
    zero = resolve_at_paper_scale(["experiments/full.yaml", "configs/trainer/zero2.yaml"]).config.trainer.strategy
    halves = on_each_device(alone, model, precision_of("bf16-mixed"), zero, 2, 2)
    assert halves.weights == pytest.approx(weights / 2, rel=0.01)
    assert halves.gradients == alone.gradients // 2 // 4
    assert halves.optimiser == 3 * alone.gradients // 4


def test_tables(capsys):
    said = planned(capsys, *FULL, *TOY, "--stages", "configs/stage/align.yaml", "--samples", "40960")
    assert "full, toy scale: 8 frames of 36 x 36 pixels become 104 visual tokens; with 128 of text" in said
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]
    assert ["align", "20,480", "16", "2,560", "1 x 16 x 1"] in rows
    assert [row[0] for row in rows].count("align") == 2
    (share,) = (row for row in rows if row[0] == "share")
    assert 0 < float(share[-1].rstrip("%")) < 50


def test_a_device_that_is_too_small_is_warned_of(capsys):
    align = (*FULL, *TOY, "--stages", "configs/stage/align.yaml", "--samples", "64", "--data.batch_size=1")
    for flags, change in (
        ((), "add --config configs/trainer/fsdp.yaml and trainer.devices to all of a machine"),
        (("--config", "configs/trainer/fsdp.yaml", "--trainer.devices=2"), "set trainer.devices to more than 2"),
    ):
        main(["plan", *align, *flags, "--device_gib", "0.001"])
        said = capsys.readouterr()
        assert "warning: align needs" in said.err and "which has 0.001 (--device_gib)" in said.err
        assert change in said.err and "GiB on each device" in said.out
    main(["plan", *align, "--device_gib", "80"])
    assert "warning" not in capsys.readouterr().err


def test_without_stages_it_is_as_configured(capsys):
    stages = as_json(capsys, *FULL, *TOY, "--stages")
    assert list(stages) == ["fit"]
    assert stages["fit"]["schedule"]["steps"] == 4 * 6000 // 16
    assert stages["fit"]["parameters"]["language_model"]["trained"] > 0


@pytest.mark.parametrize(("devices", "count"), [(3, 3), ("2", 2), ([0, 3], 2), ("1,2,5", 3)], ids=str)
def test_devices(devices, count):
    assert devices_of(devices) == count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trainer.devices=3"], "not a multiple of data.init_args.batch_size x devices = 8 x 3"),
        (["--trainer.devices=two"], "trainer.devices is 'two'; it must be a number from 1"),
        (["--trainer.devices=0"], "it must be a number from 1, a list of devices"),
        (["--trainer.strategy=fsdp"], "trainer.strategy is fsdp, whose memory is not known"),
        (["--trainer.strategy=deepspeed_stage_3"], "trainer.strategy is deepspeed_stage_3, whose memory is not known"),
        (["--trainer.precision=64-true"], "trainer.precision is '64-true', whose memory is not known"),
        (["--data.sampler.frames=16"], "tokens long with its visual tokens"),
        (["--model.language_model.name_or_path=nobody/nothing"], "is 'nobody/nothing'"),
        (["--samples", "0"], "--samples is 0"),
        (["--device_gib", "0"], "--device_gib is 0; it must be above 0"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, said):
    with pytest.raises(SystemExit):
        main(["plan", *FULL, "--stages", "configs/stage/align.yaml", *arguments])
    assert said in capsys.readouterr().err

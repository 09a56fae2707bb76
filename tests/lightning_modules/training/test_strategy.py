"""DDP with gradients as views, refused strategies, and DeepSpeed without CUDA: configuration, package, checkpoints."""

import pytest

from lightning_modules.experiment_cli import ExperimentCLI
from tests.lightning_modules.short_run import NO_LSTE, losses
from tests.lightning_modules.two_ranks import run_two

ZERO = (*NO_LSTE, "--config=configs/trainer/zero2.yaml")


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr("lightning_modules.training.trainer_options.find_spec", lambda name: name)


@pytest.mark.parametrize("strategy", [ZERO, (*NO_LSTE, "--trainer.strategy=deepspeed_stage_2")])
def test_a_missing_package_is_said_at_once(fails, monkeypatch, strategy):
    monkeypatch.setattr("lightning_modules.training.trainer_options.find_spec", lambda name: None)
    status, error = fails("fit", *strategy)
    assert status == 1 and "pip install deepspeed" in error and "fsdp.yaml" in error


@pytest.mark.parametrize(
    "strategy", ["fsdp", "fsdp_cpu_offload", "{class_path: lightning.pytorch.strategies.FSDPStrategy}"]
)
def test_another_fsdp_is_refused_by_name(fails, tiny, strategy, tmp_path):
    runs = tmp_path / "runs"
    status, error = fails("fit", *NO_LSTE, *tiny, f"--trainer.strategy={strategy}", f"--runs={runs}")
    assert status == 1 and "configs/trainer/fsdp.yaml" in error and not runs.exists()


def test_zero_2_leaves_clipping_and_accumulation_to_the_trainer(resolved, installed):
    trainer = resolved("fit", *ZERO)["trainer"]
    assert trainer["gradient_clip_val"] == 1.0
    assert trainer["strategy"]["class_path"] == "lightning.pytorch.strategies.DeepSpeedStrategy"
    pytest.importorskip("deepspeed")
    from lightning.pytorch.strategies import DeepSpeedStrategy

    config = DeepSpeedStrategy(**trainer["strategy"]["init_args"]).config
    assert config["zero_optimization"]["stage"] == 2
    # Lightning fills in what is not there.
    assert not {"gradient_clipping", "gradient_accumulation_steps"} & config.keys()


def test_the_batches_of_a_step_are_known_before_a_strategy_reads_them(run, monkeypatch):
    accumulated = []
    monkeypatch.setattr(
        "lightning_modules.video_language.VideoLanguageModel.configure_model",
        lambda model: accumulated.append(model.trainer.accumulate_grad_batches),
    )
    run("fit", *NO_LSTE, "--data.batch_size=1", "--model.stage.global_batch=4", "--trainer.fast_dev_run=1")
    assert accumulated == [4]


def test_a_folder_of_shards_is_for_deepspeed_alone(run, fails, tmp_path, monkeypatch, installed):
    shards, file = tmp_path / "last.ckpt", tmp_path / "whole.ckpt"
    (shards / "checkpoint").mkdir(parents=True)
    file.touch()
    for verb, key in (("fit", "ckpt_path"), ("test", "ckpt_path")):
        status, error = fails(verb, *NO_LSTE, f"--{key}={shards}")
        assert status == 1 and f"{key} {shards} is a folder" in error and "convert_zero_checkpoint" in error
    status, error = fails("fit", *ZERO, f"--ckpt_path={file}")
    assert status == 1 and f"{file} is no checkpoint folder of DeepSpeed" in error and "init_from" in error
    monkeypatch.setattr(ExperimentCLI, "instantiate_classes", lambda cli: setattr(cli, "subcommand", None))
    assert run("fit", *ZERO, f"--ckpt_path={shards}").config.fit.ckpt_path == str(shards)


def test_init_from_a_folder_says_how_to_make_a_file_of_it(fails, tiny, tmp_path):
    status, error = fails("fit", *NO_LSTE, *tiny, f"--init_from={tmp_path}", f"--runs={tmp_path / 'runs'}")
    assert status == 1 and f"init_from {tmp_path} is a folder" in error


@pytest.mark.long
def test_two_devices_whose_gradients_are_views_learn_what_one_does(run, tiny, tmp_path):
    settings = ("--config=experiments/clip_statistics.yaml", "--model.encoder.dropout=0", "--trainer.max_epochs=2",
                "--model.stage.global_batch=2", "--trainer.log_every_n_steps=1")  # fmt: skip
    whole = run("fit", *settings)
    one_each = ("--config=configs/trainer/ddp.yaml", "--data.batch_size=1")
    given = {argument.partition("=")[0] for argument in (*settings, *one_each)}
    rest = [argument for argument in tiny if argument.partition("=")[0] not in given]
    status, _ = run_two("fit", *settings, *one_each, "--name=views", *rest, f"--runs={tmp_path / 'two'}")
    assert status == [0, 0]
    step_losses = losses(tmp_path / "two" / "views" / "seed_0")
    assert [float(loss) for loss in step_losses] == pytest.approx(
        [float(loss) for loss in losses(whole.folder)], rel=1e-4
    )

"""Whole runs: what is left in the folder, seeds, resuming, evaluation, and the user's exact command."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from lightning_modules.runs.folder import STAGE_FILE, free_folder
from tests.lightning_modules.short_run import NO_LSTE, SHORT, losses


def test_a_run_leaves_everything_and_says_where(run, capsys):
    cli = run("fit", *NO_LSTE, *SHORT)
    folder = cli.folder
    assert folder.parts[-2:] == ("no_lste", "seed_0")
    assert (folder / "config.yaml").is_file() and (folder / "checkpoints" / "last.ckpt").is_file()
    assert list(folder.glob("events.out.tfevents*")) and len(losses(folder)) == 4
    origin = (folder / "origin.txt").read_text().splitlines()
    files = [line.strip() for line in origin if line.endswith(".yaml")]
    assert files[0] == "configs/model/video_panda.yaml"
    assert files[-2:] == ["experiments/full.yaml", "experiments/no_lste.yaml"]
    assert "  model.encoder.local_encoding: LSTE -> NoLocalEncoding" in origin
    answers = [json.loads(line) for line in (folder / "answers" / "test.jsonl").read_text().splitlines()]
    assert {row["family"] for row in answers} == set(cli.datamodule.families("test")) and len(answers) == 9
    output = capsys.readouterr().out
    assert f"run folder   {folder}" in output and "tensorboard --logdir" in output
    assert re.search(r"  test/exact_match/mean +0\.\d{4} \[0\.0000, \d\.\d{4}\]\n", output)
    assert re.search(r"  test/loss +\d+\.\d{4}\n", output), "a loss has no interval"


@pytest.mark.long
def test_a_second_run_gets_a_folder_of_its_own(run):
    first, second = (run("fit", *NO_LSTE, "--trainer.max_steps=1") for _ in range(2))
    assert (first.folder.name, second.folder.name) == ("seed_0", "seed_0.2")


def test_a_folder_with_the_record_of_a_stage_alone_is_free(tmp_path):
    folder = tmp_path / "full" / "seed_0"
    folder.mkdir(parents=True)
    (folder / STAGE_FILE).touch()
    assert free_folder(tmp_path, "full", 0, "fit") == folder
    (folder / "config.yaml").touch()
    assert free_folder(tmp_path, "full", 0, "fit") == tmp_path / "full" / "seed_0.2"


@pytest.mark.long
def test_a_seed_gives_the_same_losses_bit_for_bit_and_another_does_not(run):
    runs = [losses(run("fit", *NO_LSTE, *SHORT, f"--seed_everything={seed}").folder) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.long
def test_a_saved_config_runs_again_without_its_bases(run, finished):
    saved = yaml.safe_load((finished.folder / "config.yaml").read_text())
    assert not saved.get("base") and saved["name"] == "no_lste"
    again = run("fit", "--config", str(finished.folder / "config.yaml"))
    assert losses(again.folder) == losses(finished.folder)
    assert again.folder.name == "seed_0.2"


@pytest.mark.long
def test_averaged_weights_are_those_of_the_test_and_of_the_checkpoint(run):
    average = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5}}
    averaged = run("fit", *NO_LSTE, *SHORT, f"--trainer.callbacks+={json.dumps(average)}")
    tested = run("test", *NO_LSTE, f"--ckpt_path={averaged.folder / 'checkpoints' / 'last.ckpt'}")
    assert tested.summary.figures["test/loss"] == averaged.summary.figures["test/loss"]
    assert tested.summary.figures["test/loss"] != run("fit", *NO_LSTE, *SHORT).summary.figures["test/loss"]


@pytest.mark.long
@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_a_checkpoint_can_be_evaluated(run, finished, verb):
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    cli = run(verb, *NO_LSTE, f"--ckpt_path={checkpoint}")
    assert cli.folder.name == f"{verb}_seed_0"
    for name, weight in torch.load(checkpoint, weights_only=True)["state_dict"].items():
        assert torch.equal(cli.model.state_dict()[name], weight)
    if verb != "validate":
        files = cli.folder / "answers" / f"{verb}.jsonl", finished.folder / "answers" / "test.jsonl"
        ours, theirs = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
        if verb == "predict":  # which generates answers, and asks no further how likely others are
            assert all(row.pop("log_likelihood") <= 0 for row in theirs)
        assert ours == theirs


def test_a_checkpoint_of_another_variant_is_refused(fails, finished, clips, tmp_path):
    status, error = fails(
        "test", "--config", "experiments/full.yaml", f"--ckpt_path={finished.folder / 'checkpoints' / 'last.ckpt'}",
        f"--data.root={clips}", "--data.test_questions_per_family=1", "--trainer.accelerator=cpu", f"--runs={tmp_path}",
    )  # fmt: skip
    assert status == 1
    assert "another variant" in error and "encoder.local_encoding: NoLocalEncoding -> LSTE" in error


@pytest.mark.long
def test_a_checkpoint_of_other_sizes_is_refused_before_its_run_is_touched(fails, finished, tiny, tmp_path):
    checkpoint, config = finished.folder / "checkpoints" / "last.ckpt", finished.folder / "config.yaml"
    before = config.read_text()
    for change, tensor in (("teacher.weights.width=64", "distillation.head"), ("encoder.width=48", "encoder")):
        status, error = fails("fit", *NO_LSTE, *tiny, f"--model.{change}", f"--ckpt_path={checkpoint}")
        assert status == 1 and "ckpt_path holds a model of other sizes" in error and f"{tensor}." in error
        assert config.read_text() == before


def test_the_curves_of_a_run(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished.folder))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "val/loss", "val/exact_match/mean", "test/exact_match/mean", "alpha/mean",
            "speed/clips_per_second", "speed/data_wait_share", "lr-AdamW/encoder", "train/gradient_norm",
            "test_interval/exact_match/mean/low"} <= scalars  # fmt: skip
    assert "alpha" in events.Tags()["histograms"] and any(tag.startswith("samples/") for tag in events.Tags()["images"])
    for tag in ("train/loss", "val/exact_match/mean"):  # what comes last hides what was there before its step
        steps = [event.step for event in events.Scalars(tag)]
        assert len(set(steps)) >= 2 and steps == sorted(steps)


@pytest.mark.long
def test_the_panel_shows_another_clip_for_every_family(run, tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run("fit", *NO_LSTE, *tiny, *SHORT, "--data.val_questions_per_family=9", tiny=False).folder
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["images"] if tag.startswith("samples/")]
    pictures = [Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string)) for tag in tags]
    assert len(pictures) == 9
    assert {picture.size for picture in pictures} == {(4 * 96, 2 * 96 + 34)}  # eight frames in two rows, and a caption
    assert len({picture.crop((0, 0, 384, 192)).tobytes() for picture in pictures}) == 9


@pytest.mark.long
@pytest.mark.parametrize("program", [["-m", "lightning"], ["-m", "lightning_modules"]])
def test_the_program_is_named_as_it_was_called(program):
    help_text = subprocess.run(
        [sys.executable, *program, "--help"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert help_text.returncode == 0, f"{help_text.stderr}\nis the project installed? (make install)"
    assert f"usage: python {' '.join(program)} " in help_text.stdout
    assert (
        "{fit,validate,test,predict}" in help_text.stdout.replace(" ", "").replace("\n", "")
        or "fit" in help_text.stdout
    )


def test_the_users_exact_command(clips, tmp_path):
    command = [sys.executable, "-m", "lightning", "fit", "--config", "experiments/no_lste.yaml"]
    size = [f"--data.root={clips}", "--data.train_clips=4", "--data.val_questions_per_family=1",
            "--data.test_questions_per_family=1", "--data.batch_size=2", "--trainer.max_steps=1",
            f"--runs={tmp_path}"]  # fmt: skip
    done = subprocess.run([*command, *size], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run folder" in done.stdout and "tensorboard --logdir" in done.stdout.rstrip().splitlines()[-1]
    assert Path(tmp_path / "no_lste" / "seed_0" / "config.yaml").is_file()


@pytest.mark.long
def test_the_console_script_is_the_same_program():
    script = Path(sys.executable).with_name("video-panda")
    help_text = subprocess.run([script, "fit", "--help"], capture_output=True, text=True, check=False)
    assert help_text.returncode == 0 and "usage: video-panda" in help_text.stdout


def test_a_quick_try_leaves_no_answers_behind(run, monkeypatch, tmp_path):
    experiment = Path("experiments/full.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    run("test", "--config", str(experiment), "--trainer.fast_dev_run=1")
    assert not list(tmp_path.iterdir())


def test_a_finished_run_that_is_given_more_epochs_trains_them_whole(run, finished):
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    assert finished.trainer.global_step == 4  # two epochs of two steps
    longer = run("fit", *NO_LSTE, *SHORT, "--trainer.max_epochs=3", f"--ckpt_path={checkpoint}")
    assert longer.trainer.global_step == 6


@pytest.mark.long
def test_the_minutes_of_a_run_that_went_on_are_all_of_them(run, finished, tmp_path):
    saved = torch.load(finished.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < saved["callbacks"]["RunSummary"]["minutes"] <= finished.summary.figures["train/minutes"] < 100
    saved["callbacks"]["RunSummary"]["minutes"] = 100.0
    torch.save(saved, tmp_path / "last.ckpt")
    longer = run("fit", *NO_LSTE, *SHORT, "--trainer.max_epochs=3", f"--ckpt_path={tmp_path / 'last.ckpt'}")
    assert 100 < longer.summary.figures["train/minutes"] < 200

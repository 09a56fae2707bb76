"""YAML that goes wrong: one line with the file and the key or line, and nothing of it is lost without a word."""

import subprocess
import sys
from pathlib import Path

import pytest

from ablation.sweep.request import read_sweep
from lightning_modules.config.user_errors import CommandLineError, user_error
from lightning_modules.resolve import resolve_files


@pytest.fixture
def refused(tmp_path):
    """Read a config file behind an experiment; returns what is said of it."""

    def read(text, *flags, base="experiments/full.yaml"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises((ValueError, CommandLineError)) as caught:
            resolve_files([base, str(tmp_path / "x.yaml")], [*flags, f"--runs={tmp_path / 'runs'}"])
        return user_error(caught.value) or "TRACEBACK"

    return read


@pytest.fixture
def read(tmp_path):
    """Read a config file behind an experiment; returns the configuration."""

    def read_here(text, *flags):
        (tmp_path / "x.yaml").write_text(text)
        return resolve_files(
            ["experiments/full.yaml", str(tmp_path / "x.yaml")], [*flags, f"--runs={tmp_path / 'runs'}"]
        ).config

    return read_here


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainer: {max_epochs: 1}\nname: a\ntrainer: {}", "YAML: line 3: `trainer` stands here and in line 1"),
        ("at_scale:\n  toy: {name: a}\n  toy: {name: b}", "line 3: `toy` stands here and in line 2"),
        ("model: {stage: {warmup: 2024-13-45}}", "model.stage.warmup"),
        ("seed_everything: " + "9" * 5000, "x.yaml is not valid YAML: line 1: a number"),
        ("model: " + "[" * 3000, "x.yaml is not valid YAML: line 1: nested"),
        ("model: &a {encoder: *a}", "x.yaml is not valid YAML: line 1: an alias"),
        ("base: " + "a" * 5000, "which does not exist"),
        ("base: ''", "which is no file"),
        ("base: {}", "`base` in"),
        ("at_scale: []", "`at_scale` in"),
        ("at_scale: {toy: null}", "`at_scale` in"),
        ("at_scale: {toy: {base: x.yaml}}", "holds base or at_scale"),
        ("at_scale: {toy: {data: {init_args: {canvas: 2024-01-01}}}}", "2024-01-01"),
        ("at_scale: {toy: {data: {init_args: {canvas: !!binary aGVsbG8=}}}}", "x.yaml is not valid YAML: line 1"),
        ("", "x.yaml is empty"),
        ("# nothing yet", "x.yaml is empty"),
        ("trainer:\nname: x", "trainer is null"),
        ("name: ${foo}", "name: Interpolation key '.foo' not found"),
        ("name: ${", "name: no viable alternative"),
        ("name: ${data.init_args.root}\ndata: {init_args: {root: '${name}'}}", ": Recursive interpolation"),
        ("data: {init_args: {root: '${oc.env:NO_SUCH_NAME}'}}", "Environment variable 'NO_SUCH_NAME' not found"),
    ],
)  # fmt: skip
def test_a_config_file_that_cannot_be_meant_is_refused(refused, text, said):
    message = refused(text)
    assert said in message and "TRACEBACK" not in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("modell: {}", "modell"),
        ("modell: {a: {}}", "modell"),
        ("fit: {}", "fit"),
        ("modell:", "modell"),
        ("modell: null\nname: x", "modell"),
        ("model: {encodr: {}}", "model.encodr"),
        ("model: {stage: {fo: {}}}", "model.stage.fo"),
        ("model: {encoder: {init_arg: {}}}", "model.encoder.init_arg"),
        ("model: {encoder: {init_args: {widht: {}}}}", "model.encoder.init_args.widht"),
        ("data: {init_args: {scene: {fo: {}}}}", "data.init_args.scene.fo"),
        ("trainer: {callbacks: [{class_path: LastCheckpoint, init_args: {fo: {}}}]}", "trainer.callbacks.init_args.fo"),
        ("at_scale: {toy: {modell: {}}}", "modell"),
    ],
)
def test_a_misspelt_key_with_nothing_in_it_is_not_lost(refused, text, key):
    assert key in refused(text)


def test_neither_are_they_in_flags_and_in_files_that_a_key_names(refused, tmp_path):
    (tmp_path / "part.yaml").write_text("class_path: STAB\ninit_args:\n  width: 32\n  width: 64\n")
    assert "line 4: `width` stands here and in line 3" in refused(f"model: {{encoder: {tmp_path / 'part.yaml'}}}")
    assert "--data.scene is not valid YAML: line 1: `noise`" in refused("name: x", "--data.scene={noise: 1, noise: 2}")
    assert "--data.scene: unknown key data.scene.nois" in refused("name: x", "--data.scene={nois: {}}")


def test_an_empty_mapping_under_a_known_key_changes_nothing(read):
    config = read("model: {stage: {}, encoder: {init_args: {}}}\nat_scale: {toy: {}}")
    assert config.model.encoder.init_args.width == 96


def test_settings_and_variables_are_put_in_place_of_interpolations(read, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPS_OF_A_USER", "/clips")
    config = read(
        "name: of_${data.init_args.canvas}\n"
        "data: {init_args: {root: '${oc.env:CLIPS_OF_A_USER}/x'}}\n"
        "at_scale: {toy: {runs: '${here}/here'}}\n"
        "model: {max_new_tokens: '${model.encoder.init_args.patch_size}'}",
        "--model.encoder.patch_size=6",
    )
    assert (config.name, config.data.init_args.root, config.model.max_new_tokens) == ("of_36", "/clips/x", 6)


def test_bases_that_many_files_share_are_read_once(tmp_path):
    for number in range(1, 31):
        names = f"[b{number - 1}.yaml, ./b{number - 1}.yaml]" if number > 1 else "[]"
        (tmp_path / f"b{number}.yaml").write_text(f"base: {names}\nname: x")
    script = (
        "import sys; from lightning_modules.config.chain import config_chain; print(len(config_chain(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "b30.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == 30


def test_a_key_twice_in_a_sweep_is_refused(tmp_path):
    experiment = Path("experiments/full.yaml").resolve()
    (tmp_path / "sweep.yaml").write_text(f"experiments: [{experiment}]\nseeds: 3\nseeds: 1\n")
    with pytest.raises(ValueError, match=r"sweep\.yaml is not valid YAML: line 3: `seeds` stands here and in line 2"):
        read_sweep(tmp_path / "sweep.yaml")


def test_files_that_are_complete_only_together_are_trained_with(run):
    cli = run("fit", "--config=configs/scale/toy.yaml", "--name=${oc.env:NO_SUCH_NAME,a}", "--trainer.fast_dev_run=1")
    assert cli.trainer.global_step == 1 and cli.origin.changes == [] and cli.origin.name == "a"

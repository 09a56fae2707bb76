"""Config files by name: the user's folder lies on top of the packaged files."""

from pathlib import Path

import pytest

from ablation.sweep.request import request_of
from lightning_modules.config import packaged
from lightning_modules.config.chain import ConfigChainError, config_chain, config_files, settings_at
from lightning_modules.config.packaged import PACKAGED, beside, found, packaged_files
from lightning_modules.resolve import resolve, resolve_at_paper_scale


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, in which files are written by name."""
    monkeypatch.chdir(tmp_path)
    packaged._say_once.cache_clear()

    def write(name, text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
        return Path(name)

    return write


def test_a_packaged_file_is_found_where_the_folder_has_none(here, capsys):
    assert found("experiments/no_lste.yaml") == PACKAGED / "experiments/no_lste.yaml"
    assert (
        found("experiments/no_lste.yaml").is_absolute() and found("./configs/../experiments/blind.yaml").is_absolute()
    )
    error = capsys.readouterr().err
    assert error.count(f"experiments/no_lste.yaml: the packaged file in {PACKAGED}\n") == 1
    own = here("experiments/no_lste.yaml", "base: full.yaml")
    assert found(own) == own and not capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["no_lste.yaml", "tests/conftest.py", "README.md", "experiments", "experiments/x", "."]
)
def test_nothing_else_is_taken_from_there(here, name):
    assert found(name) == Path(name)


def test_in_the_repository_names_stay_as_they_are(capsys):
    chain = config_chain("experiments/no_lste.yaml")
    assert chain[-1] == Path("experiments/no_lste.yaml") and not any(file.is_absolute() for file in chain)
    assert beside(PACKAGED / "experiments/no_lste.yaml", "full.yaml") == PACKAGED / "experiments/full.yaml"
    assert not capsys.readouterr().err


def test_a_base_is_the_file_of_the_folder_or_else_the_packaged_one(here, capsys):
    mine = here("experiments/ideas/mine.yaml", "base: ../no_lste.yaml")
    chain = config_chain(mine)
    assert chain[-2:] == [PACKAGED / "experiments/no_lste.yaml", mine]
    toy = here("configs/scale/toy.yaml", f"base: {PACKAGED}/configs/scale/toy.yaml\nmodel: {{max_new_tokens: 3}}")
    capsys.readouterr()
    assert toy in config_chain(mine) and PACKAGED / "configs/scale/toy.yaml" not in config_chain(mine)[-4:]
    assert f"{toy}: the file of this folder, in place of the packaged one\n" in capsys.readouterr().err
    assert resolve(["fit", f"--config={mine}"]).config.model.max_new_tokens == 3


def test_a_missing_base_is_named(here):
    with pytest.raises(ConfigChainError, match=r"`base` of a\.yaml names experiments/gone\.yaml, which does not exist"):
        config_chain(here("a.yaml", "base: experiments/gone.yaml"))


def test_the_program_finds_its_own_files(here):
    experiment = resolve_at_paper_scale(["experiments/no_lste.yaml"])
    assert experiment.scale == "paper" and experiment.own_files[-1].name == "no_lste.yaml"
    wide = here("configs/scale/wide.yaml", "base: toy.yaml")
    assert settings_at(PACKAGED / "experiments/full.yaml", wide) == {}
    files = config_files(["fit", "--config=experiments/frames_16.yaml", f"--config={wide}"])
    assert files[-1] == wide and files[-2] == PACKAGED / "experiments/frames_16.yaml"


def test_a_sweep_takes_the_files_of_the_folder_before_packaged_ones(here, tmp_path):
    here("experiments/fusion_sum.yaml", "base: full.yaml")
    request = request_of([Path("experiments/sweeps/fusion.yaml")], stages=["configs/stage/align.yaml"])
    experiments = PACKAGED / "experiments"
    assert request.experiments == (
        experiments / "full.yaml", experiments / "fusion_fixed.yaml", tmp_path.resolve() / "experiments/fusion_sum.yaml"
    )  # fmt: skip
    assert request.stages == (((PACKAGED / "configs/stage/align.yaml",),),)
    fusions = [experiments / "fusion_fixed.yaml", Path("experiments/fusion_sum.yaml")]
    assert packaged_files("experiments", "fusion*.yaml") == fusions

"""`video-panda experiments`: what can be trained here, with the question of each."""

from pathlib import Path

from lightning_modules.config.packaged import PACKAGED
from lightning_modules.programs.experiments import listed, main


def test_every_experiment_and_sweep_of_the_repository_is_listed_with_its_comment(capsys):
    main([])
    fit, sweeps, place = capsys.readouterr().out.split("\n\n")
    assert fit.startswith("video-panda fit --config ...\n") and sweeps.startswith("video-panda sweep ...\n")
    for text, files in ((fit, Path("experiments").glob("*.yaml")), (sweeps, Path("experiments/sweeps").glob("*.yaml"))):
        lines = {line.split()[0]: line for line in text.splitlines()[1:]}
        assert sorted(lines) == sorted(map(str, files))
        for file, line in lines.items():
            assert "this folder  " + Path(file).read_text().splitlines()[0].removeprefix("# ") in line
    assert place == f"The packaged files are in {PACKAGED}.\n"


def test_files_of_the_folder_are_listed_with_packaged_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments/ideas").mkdir(parents=True)
    (tmp_path / "experiments/ideas/mine.yaml").write_text("# Does it\n# matter?\nbase: ../full.yaml\n# no\n")
    (tmp_path / "experiments/full.yaml").write_text("base: ../configs/scale/toy.yaml\n")
    lines = {line.split()[0]: line for line in listed(70) if line.startswith("  ")}
    assert lines["experiments/ideas/mine.yaml"].endswith("  this folder  Does it matter?")
    assert lines["experiments/full.yaml"].endswith("  this folder")
    assert lines["experiments/no_lste.yaml"].endswith("  packaged     Table 4, wit...")
    assert max(map(len, lines.values())) == 70

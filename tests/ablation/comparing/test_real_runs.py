"""Runs as trainings really leave them: what is compared is where it is looked for."""

import pytest

from lightning_modules.cli import main
from tests.lightning_modules.conftest import SMALL_STEP, TINY
from tests.lightning_modules.short_run import SHORT


@pytest.mark.long
def test_two_trainings_are_compared_with_all_there_is_to_know(tmp_path, capsys):
    runs = tmp_path / "runs"
    for name in ("full", "no_lste"):
        where = [f"--data.root={tmp_path / 'clips'}", f"--runs={runs}"]
        main(["fit", f"--config=experiments/{name}.yaml", *TINY, *SMALL_STEP, *SHORT, *where])
    capsys.readouterr()
    main(["compare", str(runs), "--baseline=full", "--costs", f"--html={tmp_path / 'page.html'}"])
    text = capsys.readouterr().out
    assert "- no_lste: model.encoder.local_encoding: LSTE -> NoLocalEncoding" in text
    assert "remarks" not in text and "left out" not in text  # scale, provenance, costs, loss and videos are all known
    cells = next(line for line in text.splitlines() if line.startswith("| no_lste")).split("|")
    minutes, parameters, gmac, tokens = (float(cell.replace(",", "")) for cell in cells[8:12])
    assert minutes >= 0 and parameters == 217_344 and 0 < gmac < 0.1 and tokens == 104
    page = (tmp_path / "page.html").read_text()
    assert "train/loss of no_lste" in page and "val/exact_match/mean of no_lste" in page and "not logged" not in page

    main(["compare", str(runs), "--baseline=full", "--scores", "count"])
    assert "over 1 questions about 1 videos" in capsys.readouterr().out


@pytest.mark.long
def test_the_same_experiment_at_another_size_of_the_test_is_refused(tmp_path, capsys):
    for name, questions in (("full", 1), ("more", 2)):
        where = [f"--data.root={tmp_path / 'clips'}", f"--runs={tmp_path / 'runs'}", f"--name={name}"]
        more = [f"--data.test_questions_per_family={questions}", "--trainer.max_steps=1"]
        main(["fit", "--config=experiments/full.yaml", *TINY, *SMALL_STEP, *where, *more])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert "questions: 9 are the same in all runs" in error and "more/seed_0 has 9" in error

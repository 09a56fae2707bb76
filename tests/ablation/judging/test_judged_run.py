"""What a judge says of a run is kept with the run: per family, with intervals, in a file and in TensorBoard."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablation.judging.command import main
from ablation.judging.judge import ExactMatch
from tests.ablation.judging.stored_answers import row, save_answers

LABEL = ExactMatch().identity.label


@pytest.fixture
def judged(tmp_path, capsys):
    """A run of 30 answers, of which every third is wrong, in two families."""
    rows = [row(number, video=f"v{number // 2}", family="colour" if number < 9 else "count") for number in range(30)]
    answers = save_answers(tmp_path / "run" / "answers" / "test.jsonl", rows)
    answers.with_name("test_scores.json").write_text(json.dumps({"provenance": {"experiment": "no_lste"}}))
    main([str(tmp_path / "run"), "--judge=ExactMatch"])
    return tmp_path / "run", capsys.readouterr().out


def test_every_family_has_a_line_and_a_figure_of_its_own(judged):
    run, output = judged
    content = json.loads((run / "judgements" / f"test.{LABEL}.scores.json").read_text())
    scores = content["scores"]
    assert scores[f"accuracy/{LABEL}"]["value"] == pytest.approx(20 / 30)
    assert scores[f"accuracy/colour/{LABEL}"]["value"] == pytest.approx(6 / 9)
    assert scores[f"accuracy/colour/{LABEL}"] | {"interval": None} == {
        "value": 6 / 9, "interval": None, "judged": 9, "answers": 9,
    }  # fmt: skip
    interval = scores[f"accuracy/count/{LABEL}"]["interval"]
    assert interval["low"] < 14 / 21 < interval["high"]
    assert f"accuracy/colour/{LABEL}: 66.7 % [" in output and "of 9 judged answers" in output
    assert content["intervals"] == "95 % intervals, clustered by video"


def test_it_says_who_judged_what(judged):
    run, _ = judged
    provenance = json.loads((run / "judgements" / f"test.{LABEL}.scores.json").read_text())["provenance"]
    assert provenance["judge"]["label"] == LABEL and provenance["judge"]["hash"] == ExactMatch().identity.hash
    assert provenance["answers"] == str(run / "answers" / "test.jsonl")
    assert provenance["test"] == {"experiment": "no_lste"}


def test_tensorboard_has_the_figures(judged):
    run, _ = judged
    events = EventAccumulator(str(run))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {f"judged/accuracy/{LABEL}", f"judged/coverage/{LABEL}", f"judged/accuracy/colour/{LABEL}"} <= tags
    (value,) = events.Scalars(f"judged_interval/accuracy/{LABEL}/low")
    assert 0.4 < value.value < 20 / 30


def test_a_file_of_ones_own_has_figures_and_no_events(tmp_path):
    save_answers(tmp_path / "mine.jsonl", [row(1), row(2)])
    main([str(tmp_path / "mine.jsonl"), "--judge=ExactMatch"])
    content = json.loads((tmp_path / "judgements" / f"mine.{LABEL}.scores.json").read_text())
    assert content["provenance"]["test"] is None and f"accuracy/count/{LABEL}" not in content["scores"]
    assert not list(tmp_path.rglob("events.*"))

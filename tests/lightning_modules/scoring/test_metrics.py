"""A metric is one class: a YAML names it, and a validation, a test and `compare` show the same of it."""

import json

import pytest
from jsonargparse import Namespace

from ablation.stage_record import configuration_hash
from datamodules.benchmarks import Benchmark, LoadedBenchmark
from datamodules.records import Record, Turn
from lightning_modules.cli import main
from lightning_modules.scoring.answer_store import answer_settings
from lightning_modules.scoring.evaluation import FamilyScores
from lightning_modules.scoring.interval import clustered_share
from lightning_modules.scoring.metrics import LogLikelihood, TokenF1, built_metrics, with_usual
from lightning_modules.scoring.scores import scores
from tests.lightning_modules.short_run import NO_LSTE, SHORT


def answer(prediction, reference, family="free", video="a.mp4", answered=True):
    row = {"family": family, "video": video, "prediction": prediction, "reference": reference}
    return row | {"answered": answered, "right": prediction == reference}


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("riding a horse", "riding a horse", 1),
        ("The man rides a horse.", "a man rides horses", 2 * 2 / (3 + 3)),
        ("horse", "man on horse", 2 / (1 + 3)),
        ("two dogs", "2 dogs", 1),
        ("dog dog dog", "dog", 2 / (3 + 1)),
        ("cat", "dog", 0),
        ("", "dog", 0),
        ("", "", 1),
    ],
)
def test_token_f1_is_the_harmonic_mean_of_precision_and_recall_of_words(prediction, reference, value):
    assert TokenF1().value(answer(prediction, reference)) == pytest.approx(value)
    assert TokenF1().value(answer(prediction, reference, answered=False)) == 0


def test_what_is_logged_is_what_is_scored_from_disk():
    metrics = with_usual([TokenF1()])
    answers = {
        "q1": answer("a red ball", "red ball"),
        "q2": answer("red", "red ball", video="b.mp4"),
        "q3": answer("no", "yes", "yes_no", "b.mp4"),
    }
    logged = FamilyScores(["free", "yes_no"], metrics)
    for row in answers.values():
        logged.add(row)
    results = scores(answers, [], metrics)
    assert {name: score.interval.value for name, score in results.items()} == logged.figures(logged.counts, {})
    assert results["token_f1/mean"].interval.value == pytest.approx((1 + 2 / 3) / 2 / 2)


def test_over_a_benchmark_what_was_not_asked_is_worth_nothing():
    asked = [Record(f"b/{number}", "a.mp4", (Turn("?", "a red ball"),), "b/what") for number in (1, 2)]
    lost = [Record("b/3", "c.mp4", (Turn("?", "yes"),), "b/what")]
    benchmark = LoadedBenchmark(Benchmark("b", "test", questions=None, videos="", types=None), asked, lost, ["c"], [])
    answers = {record.id: answer("red", "a red ball", "b/what") for record in asked}
    metrics = with_usual([TokenF1()])
    results = {name: score.interval.value for name, score in scores(answers, [benchmark], metrics).items()}
    assert results["token_f1/b"] == pytest.approx(2 / 3 * 2 / 3)
    assert results["token_f1_of_answered/b"] == results["token_f1/b/what"] == pytest.approx(2 / 3)
    logged = FamilyScores(["b/what"], metrics)
    for row in answers.values():
        logged.add(row)
    assert results.items() <= logged.figures(logged.counts, {"b": {"b/what": 3}}).items()


def test_right_and_wrong_words_have_the_interval_of_right_and_wrong_answers():
    values = [1.0, 1.0, 0.0]
    assert TokenF1().interval(values, "aab", [None] * 3) == clustered_share([True, True, False], "aab")


def test_two_metrics_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"model\.metrics names log_likelihood twice"):
        with_usual([LogLikelihood()])


def test_metrics_are_built_by_class_name_and_what_is_none_is_named():
    settings = ["TokenF1", {"class_path": "lightning_modules.scoring.metrics.TokenF1"}]
    assert [type(metric) for metric in built_metrics(settings, "--metrics")] == [TokenF1, TokenF1]
    with pytest.raises(ValueError, match=r"^--metrics must name metrics \(.*TokenF1.*Nope"):
        built_metrics(["Nope"], "--metrics")


def test_what_measures_answers_decides_neither_what_is_learnt_nor_what_is_answered():
    measured = Namespace(
        model=Namespace(metrics=["TokenF1"], projector="MLPProjector"),
        data=Namespace(init_args=Namespace()),
        trainer=Namespace(precision="32-true"),
        init_from=None,
    )
    assert answer_settings(measured)["model"] == {"projector": "MLPProjector"}
    assert configuration_hash({"model": {"metrics": ["TokenF1"]}}, None) == configuration_hash({"model": {}}, None)


@pytest.mark.long
def test_a_run_whose_yaml_names_a_metric_logs_it_and_compare_computes_it_for_all(run, finished, tmp_path, capsys):
    file = tmp_path / "measured.yaml"
    file.write_text("model:\n  metrics:\n  - TokenF1\n")
    measured = run("fit", *NO_LSTE, f"--config={file}", "--name=measured", *SHORT)
    scored = json.loads((measured.folder / "answers/test_scores.json").read_text())["scores"]
    assert "token_f1/colour" in scored and not any("token_f1" in name for name in finished.summary.figures)
    assert measured.summary.figures["test/token_f1/mean"] == pytest.approx(scored["token_f1/mean"]["value"])
    assert "val/token_f1/mean" in measured.summary.figures
    answers = [json.loads(cli.folder.joinpath("answers/test.jsonl").read_text().splitlines()[0]).keys()
               for cli in (measured, finished)]  # fmt: skip
    assert answers[0] == answers[1], "what can be computed again is not kept"
    capsys.readouterr()
    main(["compare", str(finished.folder), str(measured.folder), "--baseline=no_lste"])
    text = capsys.readouterr().out
    assert "metrics" not in text, "what answers are measured by is no setting that experiments differ in"
    heads, _, overall = text[text.index("| token F1, %") :].splitlines()[:3]
    assert [cell.strip() for cell in heads.split("|")][4:6] == ["no_lste", "measured"]
    assert float(overall.split("|")[4]) == pytest.approx(100 * scored["token_f1/mean"]["value"], abs=0.05)
    curve = next(line for line in text[text.index("| token F1") :].splitlines() if "learning curve" in line)
    assert curve.split("|")[4].strip() == "-", "which was not logged"

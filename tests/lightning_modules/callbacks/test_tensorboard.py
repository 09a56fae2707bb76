"""What TensorBoard makes of runs that differ: one table of what was ablated and came out, and one page of charts."""

import json
import re

import pytest
import torch
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as GetExperiment
from tensorboard.plugins.hparams.list_session_groups import Handler as ListSessionGroups

from components.registry import slots
from lightning_modules.callbacks.hparams import figures_in_order
from lightning_modules.callbacks.scalar_layout import layout
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.short_run import SHORT

ALL_STATUSES = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """A folder with three runs; that without LSTE was continued, with the configuration that it had saved."""
    root = tmp_path_factory.mktemp("runs")

    def fit(config, *arguments):
        return ExperimentCLI(["fit", f"--config={config}", *SHORT, *tiny, f"--runs={root}", *arguments])

    first = fit("experiments/no_lste.yaml").folder
    checkpoint = f"--ckpt_path={first / 'checkpoints' / 'last.ckpt'}"
    clis = {
        "no_lste": fit(first / "config.yaml", checkpoint, "--trainer.max_epochs=3"),
        "full": fit("experiments/full.yaml", "--seed_everything=1"),
        "eve": fit("experiments/eve.yaml"),
    }
    torch.use_deterministic_algorithms(False)
    return root, clis


@pytest.fixture(scope="module")
def provider(runs):
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(runs[0]))
    multiplexer.Reload()
    return MultiplexerDataProvider(multiplexer, str(runs[0]))


@pytest.fixture
def table(provider):
    """Columns of settings and of figures, in the order in which TensorBoard has them, and the rows by run."""
    context = Context(TBContext(data_provider=provider))
    experiment = GetExperiment(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=ALL_STATUSES, slice_size=100)
    groups = ListSessionGroups(RequestContext(), context, "", request).run().session_groups
    return experiment.hparam_infos, experiment.metric_infos, {group.name: group for group in groups}


@pytest.mark.long
def test_a_run_is_a_row_and_what_was_ablated_is_shown_first(table):
    columns, _, rows = table
    assert set(rows) == {"no_lste/seed_0", "full/seed_1", "eve/seed_0"}
    shown = [column.display_name for column in columns if column.differs]
    assert shown == ["ablated", "encoder", "encoder parameters, M", "experiment", "seed"]
    assert [column.differs for column in columns] == [True] * 5 + [False] * (len(columns) - 5)
    values = {name: {key: value.string_value for key, value in row.hparams.items()} for name, row in rows.items()}
    assert [values["no_lste/seed_0"][key] for key in ("ablated", "encoder", "experiment", "seed")] == [
        "NoLocalEncoding", "STAB", "no_lste", "0"]  # fmt: skip
    assert values["full/seed_1"]["ablated"] == "-" and values["full/seed_1"]["seed"] == "1"
    assert values["eve/seed_0"]["ablated"] == "EVE, CLIPTeacher"


def test_there_is_a_column_per_slot_whichever_run_tensorboard_takes_them_from(table, runs):
    columns, _, rows = table
    names = {column.name for column in columns}
    # What holds no part of a trained model: how features are kept, and a frozen base.
    assert set(slots(VideoLanguageModel, ("components.",))) - names == {"feature_cache", "quantization"}
    for name, cli in runs[1].items():
        row = next(row for run, row in rows.items() if run.startswith(f"{name}/"))
        assert set(row.hparams) <= names
        for path, kind in cli.model.component_names().items():
            assert row.hparams[path.rsplit(".", 1)[-1]].string_value == kind


@pytest.mark.long
def test_the_figures_begin_with_the_overall_score_and_its_interval(table, runs):
    _, figures, rows = table
    titles = [figure.display_name for figure in figures]
    assert titles[:7] == [
        "test/exact_match/mean", "test/exact_match/mean/low", "test/exact_match/mean/high", "test/loss",
        "val/exact_match/mean", "test/exact_match/blink", "test/exact_match/blink/low"]  # fmt: skip
    for name, cli in runs[1].items():
        row = next(row for run, row in rows.items() if run.startswith(f"{name}/"))
        shown = {value.name.tag: value.value for value in row.metric_values}
        interval = cli.summary.scores.intervals["test/exact_match/mean"]
        assert shown["test/exact_match/mean"] == pytest.approx(interval.value)
        assert shown["test_interval/exact_match/mean/low"] == pytest.approx(interval.low)
        assert shown["test_interval/exact_match/mean/high"] == pytest.approx(interval.high)
        assert shown["train/loss"] == pytest.approx(cli.summary.figures["train/loss"])
        assert len(shown) == len(titles)


def test_a_run_without_a_figure_names_its_column_nevertheless():
    titles = figures_in_order(["test/loss", "test/accuracy/msvd_qa"], ["test/accuracy/msvd_qa"])
    tags = list(titles)
    assert tags[:3] == ["test/accuracy/msvd_qa", *(f"test_interval/accuracy/msvd_qa/{end}" for end in ("low", "high"))]
    assert {"test/exact_match/mean", "test_interval/exact_match/mean/low", "val/loss", "train/minutes"} < set(tags)


def test_every_chart_has_a_curve_of_every_run_that_has_it(runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name, cli in runs[1].items():
        events = EventAccumulator(str(cli.folder))
        events.Reload()
        tags = events.Tags()["scalars"]
        groups = layout(cli.model, cli.datamodule).values()
        charts = {chart: patterns for group in groups for chart, patterns in group.items()}
        for chart, patterns in charts.items():
            assert all(any(re.match(pattern, tag) for tag in tags) for pattern in patterns), f"{name}: {chart} is empty"
        assert any("alpha" in chart for chart in charts) == (name != "eve")


def test_the_charts_of_all_runs_come_to_one_page(provider, runs):
    context = TBContext(data_provider=provider, plugin_name_to_instance={})
    merged = json.loads(CustomScalarsPlugin(context).layout_impl(RequestContext(), ""))
    shown = {group["title"]: [chart["title"] for chart in group["chart"]] for group in merged["category"]}
    wanted = {}
    for cli in runs[1].values():
        for category, charts in layout(cli.model, cli.datamodule).items():
            wanted.setdefault(category, set()).update(charts)
    assert {category: set(charts) for category, charts in shown.items()} == wanted
    assert all(len(charts) == len(set(charts)) for charts in shown.values())
    assert shown["loss"][:2] == ["training", "validation"]

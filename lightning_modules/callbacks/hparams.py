"""A run's entry in TensorBoard's HParams tab: what was ablated, a column per slot, and the final figures.

TensorBoard takes the columns of the whole table from the first run that it reads, sorts the settings by name, and
shows five settings, those marked to differ, and five figures at first. So every run names the same columns, with or
without values for them. (torch's writer and Lightning's logger support neither marks nor titles.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import nn

from components.registry import slots
from lightning_modules.scoring.metrics import MEAN, is_headline

FIRST = ("ablated", "encoder", "encoder_parameters", "experiment", "seed")
_TITLES = {"encoder_parameters": "encoder parameters, M"}
_SAME_MODEL = ("feature_cache", "quantization")  # slots that change nothing in the trained model
_HEADLINE = f"test/{MEAN}"
_FIGURES = (_HEADLINE, "test/loss", f"val/{MEAN}", "val/loss", "train/loss", "train/minutes")


def slot_columns(model: type[nn.Module]) -> list[str]:
    """Return the slots of `model` and of all classes that can fill them."""
    return [slot for slot in slots(model, ("components.",)) if slot not in _SAME_MODEL]


def settings(component_names: Mapping[str, str], **facts: str | float) -> dict[str, str | float]:
    """Return column -> value for a run.

    Args:
        component_names: path of a slot -> class in it; the last part of the path is the name of the column.
        facts: values of further columns.
    """
    return {path.rsplit(".", 1)[-1]: name for path, name in component_names.items()} | facts


def figures_in_order(figures: Collection[str], intervals: Collection[str]) -> dict[str, str]:
    """Return tag of a scalar -> title of its column, beginning with the overall test score and its bounds.

    Args:
        figures: names of final figures.
        intervals: names of the figures whose bounds are logged too.
    """
    titles: dict[str, str] = {}
    missing = [name for name in _FIGURES if name not in figures]  # other runs may have them
    for name in [*sorted(figures, key=_place), *missing]:
        titles[name] = name
        if name in intervals or name == _HEADLINE:
            titles |= {f"test_interval/{name.removeprefix('test/')}/{end}": f"{name}/{end}" for end in ("low", "high")}
    return titles


def entry(model: type[nn.Module], values: Mapping[str, str | float], figures: Mapping[str, str]) -> list[Any]:
    """Return the summaries of a finished run, for TensorBoard's writer.

    Args:
        model: class of the model, whose slots are columns.
        values: column -> value, for `FIRST`, `shown_frames` and slots.
        figures: tag of a scalar -> title of its column.
    """
    names = dict.fromkeys([*FIRST, "shown_frames", *slot_columns(model)])
    experiment = api_pb2.Experiment(
        hparam_infos=[_column(name) for name in names],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title) for tag, title in figures.items()
        ],
    )
    start = SessionStartInfo()
    for name in names.keys() & values.keys():
        value, field = values[name], start.hparams[name]
        if isinstance(value, str):
            field.string_value = value
        else:
            field.number_value = value
    return [
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        _summary(
            metadata.SESSION_END_INFO_TAG,
            HParamsPluginData(session_end_info=SessionEndInfo(status=api_pb2.STATUS_SUCCESS)),
        ),
    ]


def _summary(tag: str, content: Any) -> Any:
    summary = Summary()
    summary.value.add(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
    return summary


def _column(name: str) -> Any:
    # Without a list of values, whose tick boxes would fill the screen.
    kind = api_pb2.DATA_TYPE_FLOAT64 if name == "encoder_parameters" else api_pb2.DATA_TYPE_STRING
    return api_pb2.HParamInfo(name=name, display_name=_TITLES.get(name, name), type=kind, differs=name in FIRST)


def _place(figure: str) -> tuple[int, str]:
    split, _, name = figure.partition("/")
    if is_headline(name):
        return (0 if split == "test" else 2), figure
    return (1 if name == "loss" else 3) if split == "test" else 4, figure

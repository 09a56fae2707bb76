"""What a run says that its experiment changes."""

import pytest

from lightning_modules.config.difference import difference
from lightning_modules.experiment_parser import experiment_parser
from lightning_modules.resolve import changes, resolve
from lightning_modules.runs.origin import Origin, recorded_changes


def slot(name, **settings):
    return {"slot": {"class_path": f"components.{name}", "init_args": settings}}


def test_a_changed_value_is_given_with_what_it_was():
    assert difference(slot("A", width=4), slot("A", width=3)) == ["slot.width: 3 -> 4"]


def test_a_replaced_class_is_one_line_and_its_own_settings_follow():
    assert difference(slot("B", depth=2), slot("A", width=3)) == ["slot: A -> B", "slot.depth: - -> 2"]


def test_of_a_list_of_things_with_names_these_are_given():
    ours = {"benchmarks": [{"name": "a", "videos": "x"}, {"name": "b"}]}
    assert difference(ours, {"benchmarks": []}) == ["benchmarks: [] -> [a, b]"]
    sources = {"train": [{"name": None, "file": "a.json"}, {"name": "b", "file": "c.json"}]}
    assert difference(sources, {"train": []}) == ["train: [] -> [a.json, b]"]
    assert difference({"weights": [1, 2]}, {"weights": []}) == ["weights: [] -> [1, 2]"]


def test_what_is_put_into_slots_fits_into_one_cell():
    assert Origin().ablated() == "-"
    changed = ["data.sampler.frames: 8 -> 4", "model.encoder.fusion: LearnedFusion -> FrameOnly",
               "trainer.max_epochs: 10 -> 3", "data.root: data -> /disk", "data.batch_size: 16 -> 8",
               "model.feature_cache: NoFeatureCache -> DiskFeatureCache"]  # fmt: skip
    assert Origin(changes=changed).ablated() == "frames: 4, FrameOnly"


@pytest.mark.parametrize("flags", [[], ["--seed_everything=3"]])
def test_another_seed_is_not_a_change(flags):
    experiment = resolve(["fit", "--config=experiments/no_lste.yaml", *flags])
    assert changes(experiment, experiment_parser()).own == ["model.encoder.local_encoding: LSTE -> NoLocalEncoding"]


def test_an_experiment_on_an_experiment_has_in_its_cell_what_both_change(tmp_path):
    experiment = resolve(["fit", "--config=experiments/no_gstra_no_lste.yaml"])
    found = changes(experiment, experiment_parser())
    origin = Origin(changes=found.own, inherited=found.inherited)
    assert origin.changes == ["model.encoder.local_encoding: LSTE -> NoLocalEncoding"]
    assert origin.ablated() == "FrameOnly, NoVideoAggregator, NoLocalEncoding"
    (tmp_path / "origin.txt").write_text(origin.text())
    again = Origin(changes=recorded_changes(tmp_path))
    assert again.ablated() == "NoLocalEncoding, FrameOnly, NoVideoAggregator", "as a run that goes on reads it"

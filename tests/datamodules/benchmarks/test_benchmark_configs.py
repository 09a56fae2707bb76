"""Every YAML file that describes a benchmark builds, and asks an excerpt in the form that it says."""

from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from components.registry import members
from datamodules.benchmarks import QuestionFile
from datamodules.video.shown_frames import ShownFrames
from datamodules.video_text import VideoTextDataModule
from tests.datamodules.benchmark_excerpts import ASKED_VIDEOS, write_benchmark

DESCRIPTIONS = sorted(Path("configs/benchmarks").glob("*.yaml"))
# What else experiments set.
REST = ("--data.canvas=72", "--data.sampler=UniformSampler", "--data.frame_cache=NoCache",
        "--data.bad_media=ErrorOnBadMedia")  # fmt: skip


def description(config):
    (described,) = yaml.safe_load(config.read_text())["data"]["init_args"]["benchmarks+"]
    return described


def built(*arguments, shown_frames="TrueFrames"):
    parser = ArgumentParser(parser_mode="omegaconf+")
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(VideoTextDataModule, "data")
    flags = [*arguments, *REST, f"--data.shown_frames={shown_frames}"]
    return parser.instantiate(parser.parse_args(flags)).data


@pytest.mark.parametrize("config", DESCRIPTIONS, ids=lambda path: path.stem)
def test_a_description_asks_an_excerpt_and_says_that_it_is_one(config, tmp_path, caplog):
    assert "Expected" in config.read_text().split("data:")[0], "the first comment says which files go where"
    described = description(config)
    write_benchmark(tmp_path, described)
    data = built(f"--config={config}", f"--data.root={tmp_path}")
    data.setup("test")
    (loaded,) = data.loaded()
    assert len(loaded.records) >= 2 and not loaded.missing
    assert {record.id.split("/")[0] for record in loaded.records} == {described["name"]}
    names = ASKED_VIDEOS.get(described["questions"]["class_path"], ("clip_a", "clip_b"))
    assert {record.video.stem.removeprefix("v_") for record in loaded.records} == set(names)
    assert len(loaded.warnings) == 2 and all(caplog.messages.count(warning) == 1 for warning in loaded.warnings)


def test_every_form_but_one_has_a_description():
    forms = {description(config)["questions"]["class_path"] for config in DESCRIPTIONS}
    assert forms == set(members(QuestionFile)) - {"FlatQuestions"}, "which repeats questions of the others"


@pytest.mark.parametrize("control", sorted(members(ShownFrames)))
def test_a_control_is_one_flag(control):
    data = built("--config=configs/data/real_clips_qa.yaml", shown_frames=control)
    assert type(data.shown_frames).__name__ == control
    assert [benchmark.name for benchmark in data.benchmarks] == ["real_clips_qa", "real_clips_video_chatgpt"]

"""Views into the model: off unless asked for, and then of no effect but their pictures."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.callbacks import ModelViews
from lightning_modules.callbacks.model_views import file_name
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.resolve import resolve_at_paper_scale
from lightning_modules.views import CLIP_VIEWS
from lightning_modules.views.fusion_weights import FusionWeights
from tests.lightning_modules.short_run import SHORT, losses

# Those of the documentation are run here, each by one test.
COMMANDS = re.findall(r"^python -m lightning (.+)$", Path("docs/views.md").read_text(), re.MULTILINE)
FIT_BY_FILE, FIT_BY_FLAG, PREDICT, PREDICT_NAMED = map(shlex.split, COMMANDS)
FULL = ("--config", "experiments/full.yaml")
FLAG = "--trainer.callbacks+=ModelViews"
TWO_CLIPS = ("--data.val_questions_per_family=2", "--data.test_questions_per_family=2")
OF_CLIPS = {"window_attention", "frame_attention", "video_attention", "teacher_similarity", "token_norms"}


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"images": 0})
    found.Reload()
    return found


def pictures(folder):
    """Return the tags of views and the steps of each."""
    found = events(folder)
    return {tag: [image.step for image in found.Images(tag)] for tag in found.Tags()["images"] if "views/" in tag}


def views_of(cli):
    return [callback for callback in cli.trainer.callbacks if isinstance(callback, ModelViews)]


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.fixture(scope="module")
def two_runs(tiny, tmp_path_factory):
    """The same run without views and with them."""
    rest = [setting for setting in tiny if "questions_per_family" not in setting]
    rest += [*TWO_CLIPS, *SHORT, f"--runs={tmp_path_factory.mktemp('runs')}"]
    return [ExperimentCLI([*command, *rest]) for command in (("fit", *FULL), FIT_BY_FILE)]


@pytest.fixture
def trained(two_runs):
    """Complete a command with the checkpoint of the run with views."""
    checkpoint = two_runs[1].folder / "checkpoints" / "last.ckpt"
    return lambda command: [word.replace("CHECKPOINT", str(checkpoint)) for word in command]


@pytest.mark.long
def test_views_are_off_by_default_and_change_nothing_when_on(two_runs):
    plain, seen = two_runs
    assert (plain.folder.parent.name, seen.folder.parent.name) == ("full", "full+views")
    assert not views_of(plain) and not pictures(plain.folder)
    tags = pictures(seen.folder)
    assert set(tags) == {f"views/{view}/{number}" for view in OF_CLIPS for number in (0, 1)} | {"views/fusion_weights"}
    assert set(map(tuple, tags.values())) == {(2, 4)}  # the steps of the validations
    assert hooks(seen.model) == hooks(plain.model)
    assert losses(plain.folder) == losses(seen.folder) and len(losses(seen.folder)) == 4
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, seen.model.state_dict()[name]), name
    assert {"norms/downsampling", "norms/projector", "norms/text"} <= set(events(seen.folder).Tags()["scalars"])
    answers = [(cli.folder / "answers" / "test.jsonl").read_text() for cli in (plain, seen)]
    assert answers[0] == answers[1]


@pytest.mark.long
def test_a_prediction_writes_the_views_of_its_clips_and_says_where(run, two_runs, trained, capsys):
    seen = two_runs[1]
    capsys.readouterr()
    cli = run(*trained(PREDICT), *TWO_CLIPS)
    said, root = capsys.readouterr().out, cli.folder / "views"
    assert f"in {root}" in said and said.count("views: window_attention, ") == 1
    files = {str(path.relative_to(root)) for path in root.rglob("*.png")}
    assert files == {f"{clip}/{view}.png" for clip in ("000000", "000001") for view in OF_CLIPS} | {
        "fusion_weights.png"
    }
    for path in root.rglob("*.png"):
        Image.open(path).verify()
    # The alphas of the checkpoint are those of the training's validations.
    assert list(views_of(cli)[0].fusion.columns) == [2, 4]
    files = cli.folder / "answers" / "predict.jsonl", seen.folder / "answers" / "test.jsonl"
    ours, theirs = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
    assert ours == [{key: value for key, value in row.items() if key != "log_likelihood"} for row in theirs]


@pytest.mark.long
def test_alphas_go_on_where_a_run_was_stopped(run, two_runs, tmp_path):
    seen = two_runs[1]
    checkpoint = f"--ckpt_path={shutil.copy(seen.folder / 'checkpoints' / 'last.ckpt', tmp_path / 'other.ckpt')}"
    longer = (*TWO_CLIPS, *SHORT, "--trainer.max_epochs=3", "--test_after_fit=false", checkpoint)
    resumed = run(*FIT_BY_FLAG, *longer)
    assert resumed.folder.parent.name == "full"  # the flag leaves the name as it is
    found, before = (views_of(cli)[0].fusion.columns for cli in (resumed, seen))
    assert (list(before), list(found)) == ([2, 4], [2, 4, 6])
    assert all(torch.equal(found[step], before[step]) for step in before) and not torch.equal(found[4], found[6])
    # Without views it goes on alike.
    assert losses(run("fit", *FULL, *longer).folder) == losses(resumed.folder) != []


ABSENT = {
    "full": set(),
    "lsd_before_lste": set(),
    "fusion_sum": {"fusion_weights"},
    "no_gstra": {"video_attention", "fusion_weights"},
    "no_fsra": {"frame_attention", "fusion_weights"},
    "eve": {"video_attention", "fusion_weights"},
    "perceiver_resampler": {"window_attention"},
    "half_resolution": {"window_attention"},
    "no_distillation": {"teacher_similarity"},
    "video_chatgpt": {*OF_CLIPS, "fusion_weights"} - {"token_norms"},
}


@pytest.mark.parametrize("experiment", ["no_fsra", "fusion_sum", "no_gstra", "eve", "perceiver_resampler",
                                        "half_resolution", "no_distillation"])  # fmt: skip
def test_a_part_that_is_not_there_has_no_view(experiment):
    model = resolve_at_paper_scale([f"experiments/{experiment}.yaml", "configs/scale/toy.yaml"]).model()
    found = {kind.name for kind in (*CLIP_VIEWS, FusionWeights) if kind.of(model) is not None}
    assert found == {*OF_CLIPS, "fusion_weights"} - ABSENT[experiment]


@pytest.mark.parametrize("experiment", ["lsd_before_lste", "video_chatgpt"])
def test_the_views_that_a_model_has_are_said_and_shown(run, capsys, experiment):
    cli = run("validate", "--config", f"experiments/{experiment}.yaml", FLAG)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("views: "))
    there, _, left_out = line.removeprefix("views: ").partition("; not of this model: ")
    assert set(left_out.split(", ") if left_out else []) == ABSENT[experiment]
    assert {tag.split("/")[1] for tag in pictures(cli.folder)} == set(there.split(", "))
    assert set(there.split(", ")) == {*OF_CLIPS, "fusion_weights"} - ABSENT[experiment]


def test_names_of_folders_are_safe_and_differ():
    assert file_name("a clip/../of: ü.mp4", []) == "of"
    assert file_name("v_x-1.avi", []) == "v_x-1"
    assert file_name("...mp4", []) == "clip" and file_name("ü.mp4", []) == "clip"
    assert file_name("a" * 300 + ".mp4", []) == "a" * 80
    assert file_name("x.mp4", ["x"]) == "x_2"
    assert file_name("x.mp4", ["x", "x_2"]) == "x_3"
    assert file_name("x.mp4", ["x_3", "x"]) == "x_2"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("clips=0", "ModelViews.clips is 0; it must be at least 1"),
        ("videos=[nowhere.mp4]", "ModelViews.videos names 'nowhere.mp4', which is none of the"),
    ],
)
def test_clips_that_cannot_be_shown_are_an_error_in_a_line(fails, tiny, tmp_path, setting, said):
    status, error = fails("predict", *FULL, FLAG, f"--trainer.callbacks.{setting}", *tiny, f"--runs={tmp_path}")
    assert status in (1, 2) and said in error
    assert error.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.long
def test_a_real_clip_is_shown_by_its_name(run, trained):
    cli = run(*trained(PREDICT_NAMED), tiny=False)
    assert {path.name for path in (cli.folder / "views").iterdir()} == {"chaplin", "fusion_weights.png"}
    assert {path.stem for path in (cli.folder / "views" / "chaplin").iterdir()} == OF_CLIPS
    shown = Image.open(cli.folder / "views" / "chaplin" / "frame_attention.png")
    assert np.asarray(shown.crop((6, 6, 198, 198))).std() > 20, "its frames are there"


@pytest.mark.long
def test_clips_are_named_or_the_first_that_can_be_read(run, fails, tmp_path):
    videos = Path(__file__).parents[2] / "data" / "videos"
    names = ("hard/not_a_video.mp4", "keyboard_rot270.mov", "asl_eat_portrait.mp4", "hard/one_frame_mpeg4.mp4")
    turns = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "This."}]
    (tmp_path / "qa.json").write_text(
        json.dumps([{"id": name, "video": name, "conversations": turns} for name in names])
    )
    real = [*FULL, "--config", "configs/data/real_clips.yaml", f"--data.test={tmp_path / 'qa.json'}",
            f"--data.media_root={videos}", "--data.bad_media=SkipBadMedia", "--data.bad_media.max_share=0.5",
            "--trainer.accelerator=cpu", FLAG]  # fmt: skip

    def shown(*chosen):
        root = run("predict", *real, *chosen, tiny=False).folder / "views"
        return {folder.name: {path.stem for path in folder.iterdir()} for folder in root.iterdir() if folder.is_dir()}

    assert shown() == {"keyboard_rot270": OF_CLIPS, "asl_eat_portrait": OF_CLIPS}
    # An image has no video context.
    named = shown("--trainer.callbacks.videos=[one_frame_mpeg4]", "--model.feature_cache=DiskFeatureCache",
                  f"--model.feature_cache.folder={tmp_path / 'features'}")  # fmt: skip
    assert named == {"one_frame_mpeg4": OF_CLIPS - {"video_attention"}} and (tmp_path / "features").exists()
    status, error = fails("predict", *real, "--trainer.callbacks.videos=[not_a_video.mp4]", f"--runs={tmp_path}")
    assert status == 1 and "not_a_video.mp4, which cannot be read: " in error

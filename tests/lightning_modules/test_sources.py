"""Several files of conversations in one run, as a user writes them down in YAML."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from datamodules.batching import SimilarBatches
from datamodules.checking.media_facts import Manifest
from datamodules.long_records import SkipLongRecords
from datamodules.records import LLaVA, VideoChatGPT
from datamodules.video.frame_cache import DiskFrameCache
from lightning_modules.resolve import resolve_at_paper_scale
from tests.datamodules.training_files import llava, make_media, write

CLIP = Path(__file__).parents[1] / "data/videos/hard/one_frame_mpeg4.mp4"


@pytest.fixture
def config(tmp_path):
    """Write a config file that trains on these sources, of files and folders in `tmp_path`; returns arguments."""
    for folder in ("media", "more"):
        shutil.copy(CLIP, make_media(tmp_path / folder, "a.mp4") / "a.mp4")
    write(tmp_path / "flash.jsonl", [llava("a.mp4", "<image>\nWhat?", "That.") for _ in range(4)])
    chat = write(tmp_path / "chat.json", [llava() for _ in range(3)])

    def write_config(*train):
        placed = [
            source | {key: str(tmp_path / source[key]) for key in ("file", "media_root") if key in source}
            for source in train
        ]
        splits = {"train": placed, "val": [{"file": str(chat)}], "test": [{"file": str(chat)}]}
        settings = {"class_path": "MixedConversations", "init_args": splits | {"media_root": str(tmp_path / "media")}}
        path = write(tmp_path / "sources.yaml", yaml.safe_dump({"data": settings}))
        return ["--config=experiments/no_lste.yaml", "--config=configs/data/real_clips.yaml", f"--config={path}"]

    return write_config


FLASH = {"file": "flash.jsonl", "form": "VideoChatFlash", "repeat": 2.5}
CHAT = {"file": "chat.json", "media_root": "more", "take": {"class_path": "FirstRecords", "init_args": {"count": 2}}}


@pytest.mark.long
def test_a_run_learns_from_several_sources_and_its_saved_config_does_too(run, config):
    fast = ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0", "--test_after_fit=false"]
    first = run("fit", *config(FLASH, CHAT), *fast, tiny=False)
    ids = [record.id for record in first.datamodule.records("train")]
    assert ids[:5] == [*(f"flash/record-{number}" for number in range(4)), "flash/record-0#2"]
    assert len(ids) == 12 and ids[10:] == ["chat/record-0", "chat/record-1"]
    again = run("fit", f"--config={first.folder / 'config.yaml'}", "--trainer.fast_dev_run=1", tiny=False)
    assert [record.id for record in again.datamodule.records("train")] == ids


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ({**FLASH, "form": "VideoChatFlas"}, 2, "unknown form 'VideoChatFlas'"),
        ({**FLASH, "take": "FirstRecord"}, 2, "unknown take 'FirstRecord'"),
        ({**FLASH, "repeat": 0}, 1, "repeat of the source"),
        ({**FLASH, "form": "LLaVA"}, 1, "The record is of the form VideoChatFlash"),
        ({**CHAT, "take": {"class_path": "FirstRecords", "init_args": {"count": 4}}}, 1, "there are only 3 records"),
        ({**CHAT, "media_root": "nowhere"}, 1, "nowhere"),
    ],
)
def test_a_source_that_cannot_be_used_is_said_in_a_line(fails, config, tmp_path, source, status, said):
    failed, error = fails("fit", *config(source), "--trainer.accelerator=cpu", f"--runs={tmp_path / 'runs'}")
    assert (failed, said in error) == (status, True), error
    assert error.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.long
def test_the_examples_of_the_documentation_are_valid(tmp_path):
    examples = re.findall(r"```yaml\n(.*?)```", Path("docs/training_files.md").read_text(), re.DOTALL)
    found = []
    for number, example in enumerate(examples):
        path = write(tmp_path / f"{number}.yaml", example)
        found.append(
            resolve_at_paper_scale(["experiments/full.yaml", "configs/data/real_clips.yaml", str(path)]).data_module()
        )
    short, one, several, batched, kept = found
    assert isinstance(short.skips.long_records, SkipLongRecords)
    for data, forms in ((one, [LLaVA]), (several, [LLaVA, VideoChatGPT, LLaVA])):
        assert data.sources["val"][0].file == "data/valley_val.json"
        assert [type(source.form()) for source in data.sources["train"]] == forms
    assert isinstance(batched.batching, SimilarBatches) and isinstance(batched.manifest, Manifest)
    assert isinstance(kept.frame_cache, DiskFrameCache) and kept.frame_cache.folder


def test_videos_and_pictures_are_learnt_from_in_one_batch(run, config, tmp_path):
    Image.new("RGB", (90, 60), "red").save(tmp_path / "media/red.png")
    picture = {"image": "red.png", "conversations": llava("", "<image>\nWhat?", "Red.")["conversations"]}
    write(tmp_path / "both.json", [llava(), picture])
    cli = run("fit", *config({"file": "both.json"}), "--trainer.fast_dev_run=1", tiny=False)
    assert cli.trainer.global_step == 1
    assert [record.video.name for record in cli.datamodule.records("train")] == ["a.mp4", "red.png"]

"""Models to and from the hub, which is not asked: what would be uploaded, and what is read of what was downloaded."""

import shutil
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoModelForImageTextToText, AutoProcessor

from video_panda import VideoPanda, loading

TOKEN = "hf_" + "a1" * 17
FILES = {"README.md", "config.json", "generation_config.json", "model.safetensors", "processor_config.json"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """What was asked of the hub; uploaded files are in a folder."""
    asked = SimpleNamespace(repositories=[], tokens=[], folder=tmp_path / "uploaded")

    def create_repo(api, repo_id, **options):
        asked.repositories.append((repo_id, options.get("private")))
        asked.tokens.append(api.token or options.get("token"))
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(api, *, repo_id, folder_path, **options):
        shutil.copytree(folder_path, asked.folder)
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    return asked


def cached(folder, cache):
    """Put a folder into a cache of the hub, as a download does."""
    repository = cache / "models--user--panda"
    shutil.copytree(folder, repository / "snapshots" / ("ab" * 20))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("ab" * 20)


def test_what_is_uploaded(trained, panda, hub, capfd):
    assert panda.push_to_hub("user/panda", private=True, token=TOKEN).startswith("https://huggingface.co/user/panda/")
    assert hub.repositories == [("user/panda", True)] and hub.tokens == [TOKEN]
    assert {path.name for path in hub.folder.iterdir()} == FILES | TOKENIZER
    assert (hub.folder / "README.md").read_text() == (trained[1] / "README.md").read_text()
    assert not [path for path in hub.folder.iterdir() if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in "".join(capfd.readouterr())
    clip, question, prediction = trained[2][0]
    assert VideoPanda.from_pretrained(hub.folder, device="cpu").ask(clip, question) == prediction


def test_the_classes_of_transformers_upload_the_same(panda, monkeypatch):
    uploaded = set()
    monkeypatch.setattr(HfApi, "create_repo", lambda api, repo_id, **options: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(HfApi, "model_info", lambda *args, **options: SimpleNamespace(siblings=[]), raising=False)
    monkeypatch.setattr(HfApi, "create_branch", lambda *args, **options: None)
    monkeypatch.setattr(
        HfApi, "create_commit", lambda api, operations, **options: uploaded.update(o.path_in_repo for o in operations)
    )
    panda.model.push_to_hub("user/panda")
    panda.processor.push_to_hub("user/panda")
    assert uploaded | {"README.md"} == FILES | TOKENIZER


def test_a_repository_is_downloaded_and_loaded(trained, monkeypatch, tmp_path):
    asked = []

    def download(name, revision=None):
        asked.append((name, revision))
        return str(trained[1])

    monkeypatch.setattr(loading, "snapshot_download", download)
    clip, question, prediction = trained[2][0]
    assert VideoPanda.from_pretrained("user/panda", device="cpu", revision="v1").ask(clip, question) == prediction
    assert asked == [("user/panda", "v1")]


def test_the_auto_classes_load_a_repository(trained, tmp_path):
    cached(trained[1], tmp_path)
    here = {"cache_dir": tmp_path, "local_files_only": True}
    model = AutoModelForImageTextToText.from_pretrained("user/panda", **here)
    processor = AutoProcessor.from_pretrained("user/panda", **here)
    clip, question, prediction = trained[2][0]
    inputs = processor(question, clip)
    assert processor.batch_decode(model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]) == [prediction]


def test_a_repository_that_cannot_be_had(monkeypatch):
    def download(name, revision=None):
        raise LocalEntryNotFoundError("there is no network\nand more")

    monkeypatch.setattr(loading, "snapshot_download", download)
    with pytest.raises(ValueError, match=r"^user/panda is no folder here, and no repository .*: there is no network$"):
        VideoPanda.from_pretrained("user/panda")

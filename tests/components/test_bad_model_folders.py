"""Folders of pretrained models that are wrong or damaged: one line that names folder, key and what is wrong."""

import json
import os
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, LlamaConfig

from components.language_models import PretrainedCausalLM
from components.model_files import whereabouts
from components.teachers import CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, LanguageBindTeacher
from components.teachers import internvideo2_teacher as internvideo2_file
from components.vision_transformers import PretrainedCLIP, PretrainedLanguageBind
from tests.components.languagebind_folder import SIZES as TOWER
from tests.components.languagebind_folder import languagebind_weights, save_languagebind
from tests.components.small_language_model import save_small_llama
from tests.components.small_teachers import SIZES, published_internvideo2


def save_clip(folder, **sizes):
    CLIPVisionModel(CLIPVisionConfig(**sizes)).save_pretrained(folder)


# How its folder is written, how it is read, and the key that says which folder.
READERS = {
    "PretrainedCausalLM": (
        save_small_llama,
        PretrainedCausalLM,
        "model.language_model.init_args.name_or_path",
    ),
    "PretrainedCLIP": (
        lambda folder: save_clip(folder, **TOWER),
        lambda folder: PretrainedCLIP(32, 2, folder),
        "init_args.name_or_path of the tower",
    ),
    "PretrainedLanguageBind": (
        lambda folder: save_languagebind(folder, languagebind_weights()),
        lambda folder: PretrainedLanguageBind(32, 2, folder),
        "init_args.name_or_path of the tower",
    ),
    "CLIPTeacher": (
        lambda folder: save_clip(folder, **SIZES, intermediate_size=64),
        lambda folder: CLIPTeacher(folder, canvas=12),
        "model.teacher.init_args.weights",
    ),
    "DINOv2Teacher": (
        lambda folder: Dinov2Model(Dinov2Config(**SIZES)).save_pretrained(folder),
        lambda folder: DINOv2Teacher(folder, canvas=12),
        "model.teacher.init_args.weights",
    ),
    "LanguageBindTeacher": (
        lambda folder: save_languagebind(folder, languagebind_weights()),
        lambda folder: LanguageBindTeacher(folder, canvas=8),
        "model.teacher.init_args.weights",
    ),
    "InternVideo2Teacher": (
        lambda folder: save_file(published_internvideo2()[0], folder / "model.safetensors"),
        lambda folder: InternVideo2Teacher(folder, canvas=12),
        "model.teacher.init_args.weights",
    ),
}
TRANSFORMERS = ("PretrainedCausalLM", "CLIPTeacher", "DINOv2Teacher")  # these read weights in parts, too


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def no_folder(folder):
    shutil.rmtree(folder)


def no_files(folder):
    for file in folder.iterdir():
        file.unlink()


def in_parts(folder):
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names = sorted(tensors)
    parts = {name: f"model-0000{1 + 2 * i // len(names)}-of-00002.safetensors" for i, name in enumerate(names)}
    for part in set(parts.values()):
        save_file({name: tensors[name] for name in names if parts[name] == part}, folder / part, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": parts}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def without_a_part(folder):
    in_parts(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def with_half_a_part(folder):
    in_parts(folder)
    cut(folder / "model-00002-of-00002.safetensors")


def half_a_file(folder):
    cut(folder / "model.safetensors")


def as_pickle(folder, tensors):
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


def half_a_pickle(folder):
    as_pickle(folder, load_file(folder / "model.safetensors"))
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-5000])


def code(folder):
    as_pickle(folder, {"weight": Trap(folder.parent / "sprung")})


def another_shape(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(tensors) if name.endswith("mlp.fc1.weight") or "up_proj.weight" in name)
    tensors[name] = tensors[name][:-1].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def not_a_number(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(tensors) if name.endswith("mlp.fc1.weight") or "up_proj.weight" in name)
    tensors[name].view(-1)[-1] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def in_the_old_format(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def half_a_file_in_the_old_format(folder):
    in_the_old_format(folder)
    cut(folder / "pytorch_model.bin")


def with_another_key_in_the_old_format(folder):
    in_the_old_format(folder)
    file = folder / "pytorch_model.bin"
    content = file.read_bytes()
    last = [match.start() for match in re.finditer(rb"X\x0f?\x0e?\x00\x00\x00\d{10,}", content)][-1] + 5
    file.write_bytes(content[:last] + b"x" + content[last + 1 :])


def another_family(folder):
    other = LlamaConfig() if "DINOv2" in folder.name else Dinov2Config(**SIZES)
    (folder / "config.json").write_text(other.to_json_string(use_diff=False))


# What is wrong with a folder, what is said of it, and which readers it concerns.
DAMAGES = [
    *((no_folder, r"no such folder|found: nothing", reader) for reader in READERS),
    *((no_files, r"config\.json.*The folder has no files|found: nothing", reader) for reader in READERS),
    *((without_a_part, r"No such file.*model-00002-of-00002\.safetensors", reader) for reader in TRANSFORMERS),
    *((with_half_a_part, r"; damaged: model-00002-of-00002\.safetensors$", reader) for reader in TRANSFORMERS),
    *(
        (in_parts, r"has no model\.safetensors or .*one file.*The folder has .*model-00001-of", reader)
        for reader in ("PretrainedCLIP", "PretrainedLanguageBind", "LanguageBindTeacher")
    ),
    (in_parts, "one file of weights; found: model-00001-of-00002.safetensors, ", "InternVideo2Teacher"),
    (without_a_part, "does not hold InternVideo2's vision encoder; missing: ", "InternVideo2Teacher"),
    *((half_a_file, r"model\.safetensors cannot be read as tensors only|; damaged: model\.saf", r) for r in READERS),
    *((half_a_pickle, r"pytorch_model\.bin", reader) for reader in READERS),
    *((not_a_number, r"(fc1|up_proj)\.weight .*has NaN or infinite values", reader) for reader in READERS),
    *((with_another_key_in_the_old_format, r"pytorch_model\.bin", reader) for reader in READERS),
    *((half_a_file_in_the_old_format, r"pytorch_model\.bin", reader) for reader in READERS),
    *((code, r"it holds posix\.mkdir, which is no tensor and was not run", reader) for reader in READERS),
    *((another_shape, r"(fc1|up_proj)\.weight.*(\[\d+, \d+\]).*", reader) for reader in READERS),
    *((another_family, r"dinov2|llama", reader) for reader in READERS if reader != "InternVideo2Teacher"),
]


@pytest.mark.parametrize(
    ("damage", "message", "reader"), DAMAGES, ids=[f"{reader}-{damage.__name__}" for damage, _, reader in DAMAGES]
)
def test_a_bad_folder_is_one_line_that_says_what_is_wrong(tmp_path, monkeypatch, damage, message, reader):
    monkeypatch.setitem(internvideo2_file.HEADS_OF_WIDTH, 24, 4)
    save, read, key = READERS[reader]
    folder = tmp_path / reader
    folder.mkdir()
    save(folder)
    read(str(folder))
    damage(folder)
    with pytest.raises(ValueError, match=message) as error:
        read(str(folder))
    assert str(folder) in str(error.value) and key in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_file_in_the_old_format_of_pytorch_is_as_good(tmp_path, monkeypatch, reader):
    monkeypatch.setitem(internvideo2_file.HEADS_OF_WIDTH, 24, 4)
    save, read, _ = READERS[reader]
    save(tmp_path)
    before = read(str(tmp_path)).state_dict()
    in_the_old_format(tmp_path)
    after = read(str(tmp_path)).state_dict()
    assert before.keys() == after.keys() and all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "InternVideo2Teacher"])
def test_a_model_that_is_nowhere_says_how_to_get_it(monkeypatch, reader):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _, read, key = READERS[reader]
    message = r"config\.json.*model\.safetensors or pytorch_model\.bin.*local cache .*hub.*`hf download a/model"
    with pytest.raises(ValueError, match=message) as error:
        read("a/model")
    assert "'a/model'" in str(error.value) and key in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_is_no_name_on_the_hub(tmp_path):
    for path in (tmp_path / "absent", "./absent", "a/b/c", "~/models"):
        assert whereabouts(str(path)) == "There is no such folder"


def test_internvideo2_has_no_name_on_the_hub():
    with pytest.raises(ValueError, match=r"model\.teacher\.init_args\.weights is not set; .* path of the published"):
        InternVideo2Teacher()

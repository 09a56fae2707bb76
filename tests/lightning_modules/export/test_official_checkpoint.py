"""The released checkpoint to ours and back, and what is no such checkpoint."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file

from components.language_models import PretrainedCausalLM
from components.official.folder import read_tensors
from lightning_modules.cli import main
from tests.components.official_folder import CONFIG, official_tensors, save_official
from tests.components.official_model import official_model

UNUSED = ("lmhra2.", "rotary_emb.inv_freq", "num_batches_tracked")


@pytest.fixture(scope="module")
def tensors():
    return official_tensors()


@pytest.fixture
def source(tensors, tmp_path):
    return save_official(tmp_path / "checkpoint", tensors)


@pytest.fixture
def imported(source, tmp_path, capsys):
    main(["import-official", str(source), "--out", str(tmp_path / "ours")])
    return tmp_path / "ours"


def test_every_key_is_accounted_for(imported, tensors, capsys):
    unused = load_file(imported / "official" / "unused.safetensors")
    assert {key for key in tensors if any(part in key for part in UNUSED) and "vision_tower" not in key} == set(unused)
    vision = load_file(imported / "weights.safetensors")
    assert {name.split(".")[0] for name in vision} == {"encoder", "projector", "distillation"}


def test_what_was_read_is_said(source, tmp_path, capsys):
    main(["import-official", str(source), "--out", str(tmp_path / "new")])
    output = capsys.readouterr().out
    assert "second names of the vision part (vision_tower, mm_projector): 67 tensors" in output
    assert "video_tower.lmhra2" in output and f"--config {tmp_path / 'new' / 'config.yaml'}" in output


def test_the_model_is_that_of_the_golden_numbers(imported):
    expected = official_model().state_dict()
    weights = load_file(imported / "weights.safetensors")
    language_model = PretrainedCausalLM(str(imported / "language_model"))
    weights |= {f"language_model.{name}": tensor for name, tensor in language_model.state_dict().items()}
    assert weights.keys() == {name for name in expected if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(weights[name], expected[name]) for name in weights)


def test_its_tokenizer_is_exported_in_both_formats(imported, tmp_path):
    model = PretrainedCausalLM(str(imported / "language_model"))
    model.export(tmp_path / "out")
    again = PretrainedCausalLM(str(tmp_path / "out"))
    turns = [("What  colour\nis it?", "Red </s> USER: \u00e9t\u00e9.")]
    assert torch.equal(again.text.encode(turns).input_ids, model.text.encode(turns).input_ids)
    theirs, ours = (folder / "tokenizer.model" for folder in (imported / "language_model", tmp_path / "out"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(("parts", "pickled"), [(3, True), (1, True), (2, False), (1, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_and_back_is_the_same_to_the_bit(tensors, tmp_path, parts, pickled, dtype, capsys):
    tensors = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    source = save_official(tmp_path / "checkpoint", tensors, parts, pickled)
    main(["import-official", str(source), "--out", str(tmp_path / "ours")])
    main(["export-official", str(tmp_path / "ours"), "--out", str(tmp_path / "back")])
    back = read_tensors(tmp_path / "back")
    assert back.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert back[key].dtype == tensor.dtype and torch.equal(back[key], tensor), key
    assert json.loads((tmp_path / "back" / "config.json").read_text()) == CONFIG
    assert (tmp_path / "back" / "tokenizer.model").read_bytes() == (source / "tokenizer.model").read_bytes()
    assert f"{len(tensors)} tensors written" in capsys.readouterr().out


def test_the_old_format_of_pytorch_is_as_good(imported, source, tmp_path):
    in_the_old_format(source, tmp_path)
    main(["import-official", str(source), "--out", str(tmp_path / "again")])
    ours, again = (load_file(folder / "weights.safetensors") for folder in (imported, tmp_path / "again"))
    assert ours.keys() == again.keys() and all(torch.equal(again[name], ours[name]) for name in ours)


def test_one_name_of_two_is_enough(tensors, tmp_path):
    firsts, seconds = ("model.video_tower.", "model.video_projector."), ("model.vision_tower.", "model.mm_projector.")
    for number, left_out in enumerate((firsts, seconds)):
        chosen = {key: tensor for key, tensor in tensors.items() if not key.startswith(left_out)}
        source = save_official(tmp_path / f"checkpoint{number}", chosen)
        main(["import-official", str(source), "--out", str(tmp_path / f"ours{number}")])
        main(["export-official", str(tmp_path / f"ours{number}"), "--out", str(tmp_path / f"back{number}")])
        assert read_tensors(tmp_path / f"back{number}").keys() == chosen.keys()
    first, other = (load_file(tmp_path / f"ours{number}" / "weights.safetensors") for number in (0, 1))
    assert all(torch.equal(first[name], other[name]) for name in other)


def test_a_run_starts_from_it(run, imported, capsys):
    run("validate", "--config=experiments/full.yaml", f"--config={imported / 'config.yaml'}",
        "--model.encoder.patch_size=14", "--data.canvas=56", "--trainer.limit_val_batches=1")  # fmt: skip
    output = capsys.readouterr().out
    assert "fresh: 0 tensors" in output
    assert "ignored: 10 tensors: distillation.head (10)" in output


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def truncated(folder, tmp_path):
    part = sorted(folder.glob("*.bin"))[1]
    part.write_bytes(part.read_bytes()[:-1000])


def missing(folder, tmp_path):
    sorted(folder.glob("*.bin"))[1].unlink()


def in_the_old_format(folder, tmp_path):
    for part in folder.glob("*.bin"):
        torch.save(torch.load(part, weights_only=True), part, _use_new_zipfile_serialization=False)


def with_code(folder, tmp_path):
    torch.save({"model.norm.weight": Trap(tmp_path / "executed")}, sorted(folder.glob("*.bin"))[0])


def without_config(folder, tmp_path):
    (folder / "config.json").unlink()


def without_tokenizer(folder, tmp_path):
    (folder / "tokenizer.model").unlink()


def of_another_family(folder, tmp_path):
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "hidden_size": 4}))


def with_an_index_that_is_none(folder, tmp_path):
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": ["a"]}')


def changed(key, change):
    def damage(folder, tmp_path):
        for part in folder.glob("*.bin"):
            content = torch.load(part, weights_only=True)
            if key in content:
                content |= change(content.pop(key))
                torch.save(content, part)
                index = folder / "pytorch_model.bin.index.json"
                index.write_text(json.dumps({"weight_map": json.loads(index.read_text())["weight_map"]
                                             | dict.fromkeys(content, part.name)}))  # fmt: skip

    return damage


DPE = "model.video_tower.dpe.weight"
DAMAGES = {
    "a truncated part": (truncated, "00002-of-00002.bin cannot be read as tensors only"),
    "a missing part": (missing, "lacks 1 of the weight files that its index names: pytorch_model-00002-of-00002.bin"),
    "half a part in PyTorch's old format": (
        lambda *places: (in_the_old_format(*places), truncated(*places)), "-00002.bin cannot be read as tensors only"),
    "an index that is none": (with_an_index_that_is_none, "pytorch_model.bin.index.json is no index of weight files"),
    "a tensor with NaN": (changed(DPE, lambda tensor: {DPE: tensor * float("nan")}), f"{DPE} has NaN or infinite"),
    "a part with code in it": (with_code, "00001-of-00002.bin cannot be read as tensors only"),
    "no config.json": (without_config, "has no config.json"),
    "no tokenizer": (without_tokenizer, "has no tokenizer"),
    "another family": (of_another_family, "is of another family (model_type 'clip')"),
    "a tensor of another shape": (
        changed("model.video_tower_compressor.output_layer.bias", lambda tensor: {
            "model.video_tower_compressor.output_layer.bias": tensor[:3]}),
        "output_layer.bias has shape [3], ours [[1024]]"),
    "two names with different values": (changed(DPE, lambda tensor: {DPE: tensor + 1}), "two names of one tensor"),
    "a tensor that its part has not": (changed(DPE, lambda tensor: {}), f"has {DPE}, which it has not"),
    "an unknown key": (
        changed("model.norm.weight", lambda tensor: {"model.norm.weight": tensor, "model.depth_tower.bias": tensor}),
        "keys that are not explained: model.depth_tower.bias"),
    "another language model": (
        changed("model.norm.weight", lambda tensor: {"model.norm.weight": tensor[:3]}),
        "do not fit config.json (missing, too many, or of another shape): model.norm.weight"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_no_such_checkpoint_is_refused(source, tmp_path, fails, damage, message):
    damage(source, tmp_path)
    status, error = fails("import-official", str(source), "--out", str(tmp_path / "ours"))
    assert status == 1 and message in error
    assert not (tmp_path / "executed").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_folders_are_not_written_over_and_must_be_there(imported, tmp_path, fails):
    for arguments, message in (
        (["import-official", str(tmp_path / "checkpoint"), "--out", str(imported)], "is not empty"),
        (["import-official", str(tmp_path / "nowhere"), "--out", str(tmp_path / "new")], "has no config.json"),
        (["export-official", str(imported), "--out", str(imported)], "is not empty"),
        (["export-official", str(tmp_path / "checkpoint"), "--out", str(tmp_path / "new")], "has no origin.json"),
    ):
        status, error = fails(*arguments)
        assert status == 1 and message in error
    (imported / "weights.safetensors").write_bytes(b"none")
    status, error = fails("export-official", str(imported), "--out", str(tmp_path / "new"))
    assert status == 1 and "is damaged" in error

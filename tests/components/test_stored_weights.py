"""A network whose weights stay in their files is the same network once they are read, and takes no memory before."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from components.adapters import LoRA, NoAdapter
from components.fingerprint import fingerprint, sampled_fingerprint
from components.language_models import PretrainedCausalLM, ShortPrompt
from components.language_models.quantization import Quantization
from components.stored_weights import StoredWeight, overwrite, read_stored, stay_in_files, weights_in_files
from tests.components.tiny_networks import save_tiny_network, tiny_network

CPU = torch.device("cpu")


def build(folder, in_files, **settings):
    torch.manual_seed(0)
    with weights_in_files(in_files):
        return PretrainedCausalLM(str(folder), prompt=ShortPrompt, **settings)


def stored(model):
    return [weight for weight in model.parameters() if isinstance(weight, StoredWeight) and weight.stored is not None]


def rewrite(folder, change):
    """Save the tensors of a folder again, changed one by one."""
    file = Path(folder) / "model.safetensors"
    tensors = {name: change(name, tensor.clone()) for name, tensor in load_file(file).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(tensors, file, metadata={"format": "pt"})


def assert_same(found, expected):
    """Compare names, formats and values of all tensors, which of them are one, and whether they learn."""
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = (dict(getattr(model, kind)(remove_duplicate=False)) for model in (found, expected))
        assert list(ours) == list(theirs)
        for name, tensor in theirs.items():
            assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor), name
            assert ours[name].requires_grad == tensor.requires_grad, name
    assert [name for name, _ in found.named_parameters()] == [name for name, _ in expected.named_parameters()]
    assert found.base_names == expected.base_names and found.training == expected.training
    assert type(found.network) is type(expected.network)
    assert found.network.name_or_path == expected.network.name_or_path
    assert found.network.config.to_dict() == expected.network.config.to_dict()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("adapter", [NoAdapter, LoRA])
def test_every_family_is_the_same_once_it_is_read(tiny_folder, dtype, adapter):
    settings = {"dtype": dtype, "adapter": adapter, "gradient_checkpointing": True}
    model, loaded = build(tiny_folder, True, **settings), build(tiny_folder, False, **settings)
    assert {name for name, weight in model.named_parameters() if any(weight is one for one in stored(model))} == {
        name for name, _ in model.named_parameters() if name in model.base_names
    }
    assert not stored(loaded) and not stay_in_files()
    read_stored(model, CPU)
    assert_same(model, loaded)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("form", ["parts", "bin", "mixed", "misnamed"])
def test_files_of_every_form(tmp_path, form, tied):
    network = tiny_network("llama").half()
    network.config.tie_word_embeddings = tied
    network.tie_weights()
    save_tiny_network("llama", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    network.save_pretrained(tmp_path, max_shard_size="20KB" if form == "parts" else "5GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == (form == "parts")
    if form == "bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    if form == "mixed":  # what half of them could not hold must not be lost
        rewrite(tmp_path, lambda name, tensor: tensor.float() + 1e-7 if "norm" in name else tensor)
    if form == "misnamed":  # config.json says another format than the files have
        rewrite(tmp_path, lambda name, tensor: tensor.float() + 1e-7)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["dtype"] == "float16"
    model, loaded = build(tmp_path, True), build(tmp_path, False)
    assert stored(model)[0].stored.dtype == (torch.float16 if form in ("parts", "bin") else torch.float32)
    read_stored(model, CPU)
    assert_same(model, loaded)
    assert (model.network.lm_head.weight is model.network.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("of", [sampled_fingerprint, fingerprint])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_hashes_are_those_of_the_weights_that_will_be_read(tmp_path, of, dtype):
    folder = save_tiny_network("llama", tmp_path)
    rewrite(folder, lambda name, tensor: tensor.half())
    model, loaded = (build(folder, in_files, dtype=dtype) for in_files in (True, False))
    assert of(model.named_parameters()) == of(loaded.named_parameters())
    assert stored(model)


def mapped_file(tensor):
    """Return the file that the memory of a tensor is mapped from; an empty name for memory of the process itself."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= tensor.data_ptr() < int(end, 16):
            return Path(line.partition("/")[2]).name
    raise AssertionError("no such memory")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the mappings of a process are read from /proc")
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_files_take_no_memory(tmp_path, file):
    folder = save_tiny_network("llama", tmp_path)
    if file == "pytorch_model.bin":
        torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / file)
        (tmp_path / "model.safetensors").unlink()
    model = build(folder, True, dtype="bfloat16")
    assert {mapped_file(weight.stored) for weight in stored(model)} == {file}
    assert {weight.untyped_storage().nbytes() for weight in stored(model)} == {2}
    read_stored(model, CPU)
    assert {mapped_file(weight) for weight in model.parameters()}.isdisjoint({file})


def test_nothing_computes_with_weights_that_are_not_read(tiny_folders):
    model = build(tiny_folders["llama"], True)
    assert model.embed(torch.tensor([[1, 2]])).isnan().all()
    with torch.no_grad(), pytest.raises(RuntimeError, match="single memory location"):
        model.network.lm_head.weight.copy_(torch.ones(()))


def test_weights_of_another_file_replace_those_that_are_not_read():
    first, second = torch.ones(2, 3), torch.full((2, 3), 1 + 2**-20)
    unread, plain = StoredWeight.of(first.half(), torch.float32), nn.Parameter(first)
    with torch.no_grad():
        for weight in (unread, plain):
            overwrite(weight, second)
    module = nn.Module()
    module.weight = unread
    read_stored(module, CPU)
    assert torch.equal(unread, second) and torch.equal(plain, second)
    with torch.no_grad():
        overwrite(unread, first)  # like any other from now on
    assert torch.equal(unread, first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, tensor: tensor.fill_(torch.inf) if "norm" in name else tensor, "has NaN or infinite values"),
        (lambda name, tensor: None if "up_proj" in name else tensor, "lack 3 tensors of a LlamaForCausalLM"),
        (lambda name, tensor: tensor[:, :-1].clone() if "up_proj" in name else tensor, "do not have the shapes"),
    ],
)
def test_wrong_files_are_refused_as_they_are_otherwise(tmp_path, change, said):
    folder = save_tiny_network("llama", tmp_path)
    rewrite(folder, change)
    errors = set()
    for in_files in (True, False):
        with pytest.raises(ValueError, match=said) as error:
            build(folder, in_files)
        errors.add(str(error.value))
    assert len(errors) == 1


class AtOnce(Quantization):
    """Stands for a quantisation, which is made while weights are loaded."""

    def load_arguments(self):
        return {"low_cpu_mem_usage": True}

    def take_sizes(self, network):
        raise NotImplementedError


def test_weights_that_are_quantised_are_read_at_once(tiny_folders):
    assert not stored(build(tiny_folders["llama"], True, quantization=AtOnce))

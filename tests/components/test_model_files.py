"""Weight files: what they hold, or an error that names them, whatever is in them."""

from random import Random

import pytest
import torch
from safetensors.torch import save_file

from components.model_files import not_finite, read_weight_file, read_weights


def weights():
    torch.manual_seed(0)
    return {"a.weight": torch.randn(40, 30), "a.bias": torch.randn(30).bfloat16(), "steps": torch.tensor(3)}


def old_torch(tensors, path):
    """As PyTorch wrote before version 1.6: no zip, and no checksums."""
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


WRITERS = {"weights.safetensors": save_file, "weights.bin": torch.save, "weights.pt": old_torch}


@pytest.mark.parametrize("name", WRITERS)
def test_all_formats_are_read_bit_by_bit(tmp_path, name):
    WRITERS[name](weights(), tmp_path / name)
    read = read_weights(tmp_path / name)
    assert read.keys() == weights().keys()
    assert all(torch.equal(read[key], tensor) and read[key].dtype == tensor.dtype for key, tensor in weights().items())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("key", "value"), [("a.weight", "nan"), ("a.bias", "nan"), ("a.bias", "-inf")])
def test_what_is_no_number_is_named(tmp_path, name, key, value):
    tensors = weights()
    tensors[key].view(-1)[7] = float(value)
    WRITERS[name](tensors, tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: {key} has NaN or infinite values$"):
        read_weights(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", WRITERS)
def test_garbage_is_one_line_or_does_no_harm(tmp_path, name):
    """Whatever becomes of the bytes; a flipped bit in the numbers shows only where the format has checksums."""
    random = Random(name)
    WRITERS[name](weights(), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(random.choice((1, 1, 3, 30))):
            content[random.randrange(min(len(whole), random.choice((200, 10**6))))] = random.randrange(256)
        (tmp_path / name).write_bytes(content[: random.choice((len(content), random.randrange(len(content))))])
        try:
            read_weights(tmp_path / name)
        except ValueError as error:
            assert str(tmp_path / name) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 75


def test_a_flipped_bit_in_a_zip_is_found(tmp_path):
    torch.save(weights(), tmp_path / "weights.bin")
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.bin cannot be read .*the checksum of .* in it is wrong"):
        read_weight_file(tmp_path / "weights.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.ones(1)], "does not hold"), ({1: torch.ones(1)}, "does not hold"), (None, "cannot be")],
)
def test_other_things_are_refused(tmp_path, content, message):
    if content is not None:
        torch.save(content, tmp_path / "weights.bin")
    with pytest.raises(ValueError, match=rf"weights\.bin {message}"):
        read_weights(tmp_path / "weights.bin")


def test_numbers_are_looked_for_in_all_that_holds_some():
    infinite = {"state": {0: {"step": torch.tensor(float("inf"))}}, "groups": [{"lr": 1.0}]}
    assert not_finite([infinite]) == "0.state.0.step"
    assert not_finite({"groups": [{"lr": float("nan")}]}) == "groups.0.lr"
    assert not_finite({"a": [torch.ones(2), torch.ones(0), torch.tensor([1]), True, "nan", None]}) is None
    assert not_finite({"a": torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)}) == "a"

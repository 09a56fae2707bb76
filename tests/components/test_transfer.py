"""Moving a batch: every tensor arrives as it was, and nothing is copied that is there already."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from components.transfer import ALIGNMENT, pack, to_device, unpack


@dataclass
class Inner:
    values: Tensor
    names: list[str]


@dataclass
class Outer:
    inner: Inner
    values: Tensor
    absent: Inner | None
    count: int


TENSORS = [
    torch.tensor([True, False, True]),
    torch.arange(7, dtype=torch.uint8),
    torch.arange(12).view(3, 4),
    torch.tensor(5),
    torch.empty(0, 4),
    torch.randn(2, 3, dtype=torch.float64),
    torch.randn(5).bfloat16(),
    torch.arange(6).view(2, 3).T,
    torch.tensor([1, 2]).expand(3, 2),
    torch.arange(1000, dtype=torch.int32),
]


@pytest.mark.parametrize("tensors", [TENSORS, TENSORS[::-1], [torch.empty(0)]])
def test_what_was_packed_is_unpacked(tensors):
    found = unpack(pack(tensors).clone(), tensors)
    for tensor, packed in zip(tensors, found, strict=True):
        assert packed.dtype == tensor.dtype and packed.shape == tensor.shape and torch.equal(packed, tensor)
    assert len({packed.untyped_storage().data_ptr() for packed in found}) == 1
    assert all(packed.storage_offset() * packed.itemsize % ALIGNMENT == 0 for packed in found)


def outer():
    values = torch.arange(3)
    return Outer(Inner(values, ["a"]), values, None, 2)


def test_nothing_is_copied_that_is_there_already():
    tree = outer()
    assert to_device(tree, "cpu") is tree


def test_a_tree_arrives_whole():
    tree = outer()
    moved = to_device(tree, torch.device("meta"))
    assert type(moved) is Outer and type(moved.inner) is Inner
    assert moved.values.is_meta and moved.values is moved.inner.values
    assert moved.values.shape == (3,) and moved.values.dtype == torch.int64
    assert (moved.inner.names, moved.absent, moved.count) == (["a"], None, 2)
    assert not tree.values.is_meta

"""Hashes of weights: of all bits, and of samples that are enough to tell models apart."""

import pytest
import torch

from components.fingerprint import fingerprint, sampled_fingerprint


@pytest.fixture
def weights():
    return {"a": torch.arange(100_000.0), "b": torch.zeros(2, 3, dtype=torch.bfloat16), "c": torch.tensor(1)}


@pytest.mark.parametrize("place", [0, 50_000, -1])
def test_samples_are_of_both_ends_and_the_middle(weights, place):
    before = sampled_fingerprint(weights.items())
    weights["a"][place] += 1
    assert sampled_fingerprint(weights.items()) != before


def test_a_change_elsewhere_is_seen_by_the_whole_hash_alone(weights):
    samples, whole = sampled_fingerprint(weights.items()), fingerprint(weights.items())
    weights["a"][30_000] += 1
    assert sampled_fingerprint(weights.items()) == samples and fingerprint(weights.items()) != whole


@pytest.mark.parametrize("of", [sampled_fingerprint, fingerprint])
def test_names_types_shapes_and_order_count(weights, of):
    b = weights["b"]
    others = [
        {"a": weights["a"], "d": b, "c": weights["c"]},
        weights | {"b": b.half()},
        weights | {"b": b.view(3, 2)},
        dict(reversed(weights.items())),
        weights | {"c": torch.tensor(2)},
        {},
    ]
    assert len({of(tensors.items()) for tensors in (weights, *others)}) == 7
    assert of(weights.items()) == of({name: tensor.clone() for name, tensor in weights.items()}.items())


def test_tensors_that_do_not_lie_in_one_piece(weights):
    square = torch.arange(10_000.0).view(100, 100)
    assert sampled_fingerprint([("", square.T)]) == sampled_fingerprint([("", square.T.contiguous())])
    assert sampled_fingerprint([("", torch.empty(0))]) != sampled_fingerprint([])

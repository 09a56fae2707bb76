"""Groups and places: what is laid can be taken again, and neither way adds by index in its backward pass."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from components.encoders import STAB, VideoShapes
from components.groups import Groups, Places
from components.stab import ClipStatistics, MaskedGSTRA, MaskedLSTE

SIZES = [3, 1, 2]


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))


def values():
    torch.manual_seed(0)
    return torch.randn(sum(SIZES), 2, dtype=torch.float64, requires_grad=True)


def test_gradients_are_right_to_the_second_order():
    groups, places = Groups.of_sizes(SIZES), Places.of_slots(torch.tensor([4, 0, 7, 2, 1, 5]), 9)
    functions = (
        lambda rows: groups.pad(rows, 2.0).square(),
        lambda rows: groups.unpad(groups.pad(rows, 0.0).square()),
        lambda rows: groups.spread(groups.total(rows.square())),
        lambda rows: places.lay(rows.square(), -1.0),
        lambda rows: places.take(places.lay(rows).square()),
    )
    for function in functions:
        assert torch.autograd.gradcheck(function, (values(),))
        assert torch.autograd.gradgradcheck(function, (values(),))


def test_totals_and_their_spread():
    rows, groups = values(), Groups.of_sizes(SIZES)
    expected = torch.stack([part.sum(0) for part in rows.split(SIZES)])
    torch.testing.assert_close(groups.total(rows), expected)
    assert torch.equal(groups.spread(expected), expected[groups.group])
    equal = Groups.of_sizes([2, 2, 2])
    assert torch.equal(equal.spread(expected), expected[equal.group])


def test_what_is_laid_is_taken_again():
    rows, places = values(), Places.of_slots(torch.tensor([4, 0, 7, 2, 1, 5]), 9)
    laid = places.lay(rows, 3.0)
    assert torch.equal(places.take(laid), rows) and (laid[[3, 6, 8]] == 3).all()


def test_a_block_with_ragged_groups_adds_nothing_by_index():
    # Only neighbours in time are added by index, of which each place has one.
    stab = STAB(16, 2, chunk_frames=1, local_encoding=lambda width: MaskedLSTE(width, statistics=ClipStatistics),
                video_aggregator=MaskedGSTRA).train()  # fmt: skip
    rectangles = torch.tensor([[0, 0, 4, 6], [1, 0, 3, 4], [2, 2, 2, 2]]).repeat_interleave(torch.tensor([3, 2, 4]), 0)
    layout = stab.layout(VideoShapes(torch.tensor([3, 2, 4]), rectangles, (4, 6)))
    with Names() as names:
        stab(torch.randn(9, 3, 8, 12), layout).sum().backward()
    assert names.seen["index_add"] <= 8, names.seen  # neighbours in time, in two convolutions
    assert not {"scatter_add", "index_put", "index_copy"} & names.seen.keys(), names.seen

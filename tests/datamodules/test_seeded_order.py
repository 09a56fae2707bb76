"""The order of samples: fixed by seed and epoch, shared by ranks, continued in mid-epoch."""

from datamodules.batching import SeededOrder


def test_the_order_depends_on_seed_and_epoch_only():
    first, again, other = SeededOrder(50, seed=1), SeededOrder(50, seed=1), SeededOrder(50, seed=2)
    assert list(first) == list(again) != list(other)
    again.set_epoch(1)
    assert list(first) != list(again)
    assert sorted(first) == list(range(50))
    assert sorted(again) == list(range(50, 100))  # an index tells its epoch


def test_ranks_share_an_epoch_without_overlap():
    ranks = [list(SeededOrder(50, seed=3, rank=rank, ranks=2)) for rank in (0, 1)]
    assert sorted(ranks[0] + ranks[1]) == list(range(50))
    uneven = [list(SeededOrder(7, seed=3, rank=rank, ranks=3)) for rank in range(3)]
    assert [len(order) for order in uneven] == [3, 3, 3]
    assert set().union(*uneven) == set(range(7))


def test_a_resumed_epoch_gives_the_rest_and_the_next_epoch_all():
    whole = SeededOrder(20, seed=5)
    whole.set_epoch(2)
    resumed = SeededOrder(20, seed=5)
    resumed.resume(epoch=2, samples=8)
    assert list(resumed) == list(whole)[8:]  # loader processes begin before the epoch is set
    resumed.set_epoch(2)
    assert list(resumed) == list(whole)[8:]
    assert len(resumed) == 20  # Lightning counts whole epochs
    resumed.set_epoch(3)
    assert sorted(resumed) == list(range(3 * 20, 4 * 20))

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from contextrast.data.sampler import EpochSampler, SampleKey


@given(size=st.integers(1, 40), seed=st.integers(0, 2**32), position=st.integers(0, 100))
def test_every_epoch_holds_every_sample_once(size, seed, position):
    sampler = EpochSampler(range(size), seed=seed)
    stream = []
    sampler.seek(position)
    for _ in range(4):
        stream += sampler
        sampler.seek(position + len(stream))
    for epoch in range(position // size + 1, (position + len(stream)) // size):
        assert sorted(key.index for key in stream if key.epoch == epoch) == list(range(size))


@given(size=st.integers(2, 40), replicas=st.integers(1, 4), position=st.integers(0, 50), seed=st.integers(0, 99))
def test_processes_share_the_stream_of_one(size, replicas, position, seed):
    alone = EpochSampler(range(size), seed=seed)
    alone.seek(position)
    shares = []
    for rank in range(replicas):
        sampler = EpochSampler(range(size), seed=seed, num_replicas=replicas, rank=rank)
        sampler.seek(position)
        shares.append(list(sampler))
    together = list(chain.from_iterable(zip(*shares, strict=True)))  # strict: all have the same number
    assert together == list(alone)[: len(together)]
    assert len(together) > size - replicas


def test_order_depends_on_seed_and_epoch():
    orders = set()
    for seed in (0, 1):
        for epoch in (0, 1):
            sampler = EpochSampler(range(50), seed=seed)
            sampler.seek(50 * epoch)
            orders.add(tuple(key.index for key in sampler))
    assert len(orders) == 4


def test_order_is_pinned():
    """A changed order, here or in numpy, would change every published number without anybody noticing."""
    assert [key.index for key in EpochSampler(range(8), seed=3)] == [6, 7, 2, 1, 4, 5, 3, 0]


def test_lightning_leaves_it_alone_under_ddp():
    # Lightning replaces whatever is not torch's DistributedSampler.
    assert issubclass(EpochSampler, DistributedSampler)


def test_set_epoch_does_not_move_the_stream():
    sampler = EpochSampler(range(9))
    before = list(sampler)
    sampler.set_epoch(5)
    assert list(sampler) == before
    assert before[0] == SampleKey(0, before[0].index)

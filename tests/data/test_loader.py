import numpy as np
import pytest
import torch

from contextrast.data import CamVid, EpochSampler
from contextrast.data.loader import Loader, TrainLoader, collate
from contextrast.errors import ConfigError, DataError

from .conftest import Stripes, save


def train_loader(length, batch_size=4, replicas=1, rank=0, num_workers=0):
    dataset = Stripes(length=length)
    sampler = EpochSampler(dataset, seed=1, num_replicas=replicas, rank=rank)
    return TrainLoader(
        dataset,
        batch_size,
        sampler=sampler,
        drop_last=True,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def read(loader, count):
    """Names of the next batches, by as many passes as it takes."""
    batches = []
    while True:
        for batch in loader:
            batches.append(batch["name"])
            if len(batches) == count:
                return batches


def test_collate_stacks():
    dataset = Stripes()
    batch = collate([dataset[3], dataset[1]])
    assert batch["image"].shape == (2, 3, 8, 12)
    assert batch["image"].dtype == torch.uint8
    assert batch["mask"].shape == (2, 8, 12)
    assert batch["mask"].dtype == torch.int64
    assert batch["image"][:, 0, 0, 0].tolist() == [3, 1]
    assert batch["name"] == ["train3", "train1"]


def test_unequal_sizes_cannot_share_a_batch():
    dataset = Stripes(sizes=((8, 12), (6, 12)))
    with pytest.raises(ConfigError, match=r"6x12, 8x12 .*data\.eval_batch_size=1"):
        collate([dataset[0], dataset[1]])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_worker_errors_arrive_as_raised(segnet_root, num_workers):
    mask = save(segnet_root / "trainannot" / "train_1.png", np.full((4, 6), 99))
    dataset = CamVid(segnet_root, "train")
    with pytest.raises(DataError) as direct:
        dataset[1]
    with pytest.raises(DataError) as caught:
        list(Loader(dataset, num_workers=num_workers, collate_fn=collate))
    assert str(caught.value) == str(direct.value)
    assert str(caught.value).startswith(f"{mask} has the value(s) 99")


def test_no_image_is_left_out():
    batches = read(train_loader(10), 5)  # 20 places: two epochs of 10, though 10 does not divide into fours
    assert all(len(batch) == 4 for batch in batches)
    stream = [name for batch in batches for name in batch]
    assert sorted(stream[:10]) == sorted(stream[10:]) == [f"train{index}" for index in range(10)]
    assert stream[:10] != stream[10:]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_new_loader_goes_on_where_the_state_was_taken(stop, num_workers):
    first = train_loader(10, num_workers=num_workers)
    before = read(first, stop)
    second = train_loader(10, num_workers=num_workers)
    second.load_state_dict(first.state_dict())
    assert before + read(second, 4) == read(train_loader(10), stop + 4)


def test_an_abandoned_pass_leaves_nothing_out():
    loader = train_loader(20, num_workers=2)
    batches = []
    for _ in range(4):
        for batch in loader:
            batches.append(batch["name"])
            break  # what the workers have prepared beyond it is made again
    assert batches == read(train_loader(20), 4)


def test_two_processes_see_the_batches_of_one():
    shares = [read(train_loader(12, batch_size=2, replicas=2, rank=rank), 8) for rank in range(2)]
    together = [sorted(left + right) for left, right in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in read(train_loader(12, batch_size=4), 8)]

"""Decoded files are kept, found again, and never trusted further than their sources."""

import multiprocessing

import numpy as np
import pytest
import torch

from contextrast.data import FileDataset, LabelTable, SegmentationDataModule
from contextrast.data.cache import DecodedCache
from contextrast.data.masks import ValueMap
from contextrast.data.pairing import Pair
from contextrast.errors import ConfigError

from .conftest import save

IDENTITY, SWAPPED = (ValueMap({0: a, 1: 1 - a}, "0 and 1") for a in (0, 1))
SIZE = (12, 10)


class Files(FileDataset):
    labels = LabelTable("two", ("a", "b"), ((255, 0, 0), (0, 0, 255)))


@pytest.fixture
def pairs(tmp_path):
    """Four random pictures with masks."""
    random = np.random.default_rng(0)
    made = []
    for name in "abcd":
        image = save(tmp_path / "files" / f"{name}.png", random.integers(0, 256, (*SIZE, 3)))
        made.append(Pair(name, image, save(tmp_path / "files" / f"{name}_mask.png", random.integers(0, 2, SIZE))))
    return made


def dataset(pairs, cache, decode=IDENTITY):
    made = Files(pairs, decode)
    made.cache = cache
    return made


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in ("image", "mask"))


def stored(folder):
    return sorted(folder.glob("*.npy"))


def test_a_sample_is_the_decoded_one_and_is_decoded_once(pairs, tmp_path, monkeypatch):
    plain, cached = (dataset(pairs, cache) for cache in (None, DecodedCache(tmp_path / "cache", 10**6)))
    expected = [plain[index] for index in range(4)]
    assert all(same(cached[index], expected[index]) for index in range(4))
    assert len(stored(tmp_path / "cache")) == 4
    monkeypatch.setattr("contextrast.data.files.decode_image", None)  # raises if it is called
    later = dataset(pairs, DecodedCache(tmp_path / "cache", 10**6))
    assert all(same(later[index], expected[index]) for index in range(4))
    with pytest.raises(TypeError):
        plain[0]


def test_a_changed_file_and_another_setting_are_other_samples(pairs, tmp_path):
    cache = DecodedCache(tmp_path / "cache", 10**6)
    before = dataset(pairs, cache)[0]
    assert torch.equal(dataset(pairs, cache, SWAPPED)[0]["mask"], 1 - before["mask"])
    save(pairs[0].image, np.full((*SIZE, 3), 7))
    assert (dataset(pairs, cache)[0]["image"] == 7).all()


def test_it_stays_below_its_limit_and_serves_the_rest_decoded(pairs, tmp_path):
    size = 4 * SIZE[0] * SIZE[1]
    cached, plain = dataset(pairs, DecodedCache(tmp_path / "cache", 2 * size)), dataset(pairs, None)
    assert all(same(cached[index], plain[index]) for index in [0, 1, 2, 3] * 2)
    assert len(stored(tmp_path / "cache")) == 2
    assert int((tmp_path / "cache" / "bytes").read_text()) == 2 * size


def fill(pairs, folder, limit):
    cached = dataset(pairs, DecodedCache(folder, limit))
    for index in range(len(pairs)):
        cached[index]


def test_processes_share_the_limit(pairs, tmp_path):
    size = 4 * SIZE[0] * SIZE[1]
    context = multiprocessing.get_context("fork")
    halves = [pairs[:2], pairs[2:]]
    workers = [context.Process(target=fill, args=(half, tmp_path / "cache", 3 * size)) for half in halves]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(stored(tmp_path / "cache")) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00v\x00{", b"garbage"])
def test_a_damaged_file_is_decoded_anew(pairs, tmp_path, damage):
    cache = DecodedCache(tmp_path / "cache", 10**6)
    expected = dataset(pairs, cache)[0]
    (path,) = stored(tmp_path / "cache")
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:-20])
    assert same(dataset(pairs, cache)[0], expected)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 3), (*SIZE, 4), ()])
def test_an_array_of_another_kind_is_decoded_anew(pairs, tmp_path, shape):
    cache = DecodedCache(tmp_path / "cache", 10**6)
    expected = dataset(pairs, cache)[0]
    (path,) = stored(tmp_path / "cache")
    np.save(path, np.zeros(shape, np.float32 if len(shape) == 3 and shape[2] == 4 else np.uint8))
    assert same(dataset(pairs, cache)[0], expected)


def test_a_pickle_in_its_place_is_not_loaded(pairs, tmp_path):
    cache = DecodedCache(tmp_path / "cache", 10**6)
    expected = dataset(pairs, cache)[0]
    (path,) = stored(tmp_path / "cache")
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    assert same(dataset(pairs, cache)[0], expected)


def test_a_folder_that_takes_nothing_warns_and_goes_on(pairs, tmp_path, monkeypatch):
    cached = dataset(pairs, DecodedCache(tmp_path / "cache", 10**6))

    def fail(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("contextrast.data.cache.np.save", fail)
    with pytest.warns(UserWarning, match="takes no more samples: No space left on device"):
        first = cached[0]
    assert same(first, dataset(pairs, None)[0])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["bytes"]


def test_settings_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.cache_gib=0 has to be positive"):
        DecodedCache(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data\.cache=.*file.* cannot be made"):
        DecodedCache(tmp_path / "file", 1)


def test_a_data_module_s_batches_are_the_same_with_it(pairs, tmp_path):
    def make(split="train", transform=None):
        return Files(pairs, IDENTITY, transform)

    seen = []
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        data = SegmentationDataModule(make, [8, 8], 2, num_workers=1, cache=cache)
        seen.append(list(data.train_dataloader()))
    assert stored(tmp_path / "cache")
    for batches in seen[1:]:
        assert len(batches) == len(seen[0]) == 2
        for batch, expected in zip(batches, seen[0], strict=True):
            assert batch["name"] == expected["name"]
            assert same(batch, expected)

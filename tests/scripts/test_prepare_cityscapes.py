"""The files of train ids that the script writes, read back through the dataset."""

import os

import numpy as np
import pytest
from PIL import Image

from contextrast.data import Cityscapes
from contextrast.errors import DataError
from scripts import prepare_cityscapes

NAMES = {"train": ("aachen_000000_000019", "bochum_000000_000313"), "val": ("frankfurt_000000_000294",)}
MASK = np.array([[0, 7, 33, 9], [26, 26, 1, 13]], np.uint8)
TRAIN_IDS = [[255, 0, 18, 255], [13, 13, 255, 4]]


@pytest.fixture
def source(tmp_path):
    """Two training images and one validation image in the official layout."""
    for split, names in NAMES.items():
        for name in names:
            city = name.split("_")[0]
            for part, kind, pixels in (
                ("leftImg8bit", "leftImg8bit", np.zeros((2, 4, 3), np.uint8)),
                ("gtFine", "gtFine_labelIds", MASK),
            ):
                path = tmp_path / "source" / part / split / city / f"{name}_{kind}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return tmp_path / "source"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_written_where_told_and_nowhere_else(source, tmp_path):
    before = files(source)
    target = tmp_path / "target"
    prepare_cityscapes.prepare(source, target, processes=0, subset=True)
    assert files(source) == before
    assert files(target) == sorted(
        f"gtFine/{split}/{name.split('_')[0]}/{name}_gtFine_labelTrainIds.png"
        for split in NAMES
        for name in NAMES[split]
    )
    for split, names in NAMES.items():
        dataset = Cityscapes(source, split, encoding="train_ids", label_root=target)
        assert len(dataset) == len(names)
        assert all(dataset.read(index)[1].tolist() == TRAIN_IDS for index in range(len(dataset)))


def test_a_stopped_run_goes_on(source, tmp_path):
    target = tmp_path / "target"
    prepare_cityscapes.prepare(source, target, processes=0, subset=True)
    done, missing, *_ = sorted(target.rglob("*.png"))
    content = missing.read_bytes()
    os.utime(done, (1, 1))
    missing.unlink()
    prepare_cityscapes.prepare(source, target, processes=0, subset=True)
    assert done.stat().st_mtime == 1
    assert missing.read_bytes() == content


def test_the_source_may_be_the_target_also_with_the_archives_names(source):
    for part in ("leftImg8bit", "gtFine"):
        (source / f"{part}_trainvaltest").mkdir()
        (source / part).rename(source / f"{part}_trainvaltest" / part)
    prepare_cityscapes.prepare(source, source, processes=0, subset=True)
    dataset = Cityscapes(source, "train")
    assert dataset.mask_source(0).endswith("_gtFine_labelTrainIds.png")
    assert dataset.read(0)[1].tolist() == TRAIN_IDS
    assert not (source / "gtFine").exists()


def test_counts_are_checked_first(source, tmp_path):
    image = source / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (4, 2)).save(image)
    with pytest.raises(DataError) as caught:
        prepare_cityscapes.prepare(source, tmp_path / "target", processes=0, subset=False)
    for line in ("train: 2 instead of 2975", "val: 1 instead of 500", "test: 1 instead of 1525"):
        assert line in str(caught.value)
    assert not (tmp_path / "target").exists()


def test_label_files_that_cannot_be_converted_are_listed(source, tmp_path):
    bad = source / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_labelIds.png"
    Image.fromarray(np.full((2, 4), 99, np.uint8)).save(bad)
    with pytest.raises(DataError, match=r"cannot be converted; fetch them again:\n  .*aachen.*has the value\(s\) 99\."):
        prepare_cityscapes.prepare(source, tmp_path / "target", processes=0, subset=True)
    assert len(list((tmp_path / "target").rglob("*.png"))) == 1

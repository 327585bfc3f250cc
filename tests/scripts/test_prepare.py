"""Converted datasets hold the pixels of the official ones, and a conversion can be stopped and repeated."""

from pathlib import Path

import numpy as np
import pytest

from contextrast.data import CocoStuff10k, PascalContext
from contextrast.data.masks import decode_indices
from contextrast.errors import DataError
from scripts import prepare_coco_stuff10k, prepare_pascal_context
from tests.data.layouts import ALL_182, ALL_459, coco_official, pascal_official

COCO_NAMES = [f"COCO_train2014_{i:012d}" for i in (77, 64, 110)]


@pytest.fixture
def pascal(tmp_path):
    small = {f"2008_{i:06d}": np.full((2, 3), label, np.uint16) for i, label in ((12, 284), (3, 431))}
    return pascal_official(tmp_path / "official", {"train": small, "val": {"2010_000001": ALL_459}})


@pytest.fixture
def coco(tmp_path):
    train = {COCO_NAMES[0]: np.full((2, 3), 12), COCO_NAMES[1]: np.full((2, 3), 178)}
    return coco_official(tmp_path / "official", {"train": train, "test": {COCO_NAMES[2]: ALL_182}})


CASES = [
    ("pascal", prepare_pascal_context, PascalContext, "VOCdevkit/VOC2010/SegmentationClassContext"),
    ("coco", prepare_coco_stuff10k, CocoStuff10k, "annotations/train2014"),
]


def samples(dataset_class, root, split):
    dataset = dataset_class(root, split)
    return [(s["name"], s["image"].tolist(), s["mask"].tolist()) for s in dataset]


@pytest.mark.parametrize(("source", "script", "dataset_class", "masks"), CASES, ids=["pascal", "coco"])
@pytest.mark.parametrize("place", ["another folder", "the same folder"])
def test_both_layouts_hold_the_same_samples(request, tmp_path, source, script, dataset_class, masks, place):
    official = request.getfixturevalue(source)
    before = {split: samples(dataset_class, official, split) for split in dataset_class.splits}
    target = official if place == "the same folder" else tmp_path / "converted"
    script.prepare(official, target, processes=0, subset=True)
    assert len(list((target / masks).glob("*.png"))) >= 2
    assert {split: samples(dataset_class, target, split) for split in dataset_class.splits} == before
    for split in dataset_class.splits:
        assert all(Path(pair.mask).suffix == ".png" for pair in dataset_class(target, split).pairs)


def test_pascal_masks_have_mmsegmentations_values(pascal, tmp_path):
    prepare_pascal_context.prepare(pascal, tmp_path / "to", processes=0, subset=True)
    voc = tmp_path / "to" / "VOCdevkit" / "VOC2010"
    masks = voc / "SegmentationClassContext"
    assert np.unique(decode_indices(masks / "2008_000012.png")).tolist() == [37]  # person: train id 36
    assert np.unique(decode_indices(masks / "2008_000003.png")).tolist() == [0]  # 431 is "unknown"
    assert np.unique(decode_indices(masks / "2010_000001.png")).tolist() == list(range(60))
    assert (voc / "ImageSets" / "SegmentationContext" / "train.txt").read_text() == "2008_000012\n2008_000003\n"
    assert not (voc / "JPEGImages" / "2010_999999.jpg").exists()  # not in a list


def test_coco_masks_have_mmsegmentations_values(coco, tmp_path):
    prepare_coco_stuff10k.prepare(coco, tmp_path / "to", processes=0, subset=True)
    train, test = (tmp_path / "to" / "annotations" / part for part in ("train2014", "test2014"))
    assert np.unique(decode_indices(train / f"{COCO_NAMES[0]}_labelTrainIds.png")).tolist() == [0]  # 12 is never used
    assert np.unique(decode_indices(train / f"{COCO_NAMES[1]}_labelTrainIds.png")).tolist() == [167]  # water-other
    assert np.unique(decode_indices(test / f"{COCO_NAMES[2]}_labelTrainIds.png")).tolist() == list(range(172))


@pytest.mark.parametrize(("source", "script", "dataset_class", "masks"), CASES, ids=["pascal", "coco"])
def test_a_stopped_conversion_is_no_dataset_until_it_is_repeated(
    request, tmp_path, source, script, dataset_class, masks
):
    official, target = request.getfixturevalue(source), tmp_path / "converted"
    script.prepare(official, target, processes=0, subset=True)
    name = dataset_class(target, "train").name(1)
    next((target / masks).glob(f"{name}*")).unlink()
    with pytest.raises(DataError, match=f"image without mask: .*{name}"):
        dataset_class(target, "train")
    script.prepare(official, target, processes=0, subset=True)
    assert [len(dataset_class(target, split)) for split in dataset_class.splits] == [2, 1]


@pytest.mark.parametrize("name", ["prepare_pascal_context", "prepare_coco_stuff10k"])
def test_they_say_where_the_data_comes_from_and_under_which_terms(name, capsys, monkeypatch):
    script = {"prepare_pascal_context": prepare_pascal_context, "prepare_coco_stuff10k": prepare_coco_stuff10k}[name]
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit):
        script.main()
    text = capsys.readouterr().out
    assert "Where the data comes from" in text
    assert "Terms" in text


def test_the_command_line_checks_the_published_counts(pascal, tmp_path, capsys, monkeypatch):
    target = tmp_path / "to"
    arguments = ["prepare", str(pascal), str(target), "--processes", "1"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="train: 2 instead of 4998"):
        prepare_pascal_context.main()
    assert not target.exists()
    monkeypatch.setattr("sys.argv", [*arguments, "--subset"])
    prepare_pascal_context.main()
    assert "train: 2 pairs of 2" in capsys.readouterr().out

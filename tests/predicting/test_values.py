"""Masks with the dataset's own values: put where its masks lie, they are read as what was predicted."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextrast.data import ADE20K, CamVid, Cityscapes, CocoStuff10k, Folder, LabelTable, PascalContext, Streets
from contextrast.errors import DataError
from contextrast.predicting import Results
from tests.cli.commands import run
from tests.conftest import TINY
from tests.data.conftest import save
from tests.data.layouts import coco_map, coco_official, pascal_official, save_list, save_map
from tests.predicting.painted import image_for, painting

SHAPE = (12, 18)


def as_png(mask, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(mask, path)


def as_mat(write):
    """Puts a mask into a .mat file, as ``write(path, pixels)`` does."""
    return lambda mask, path: write(path, np.asarray(Image.open(mask)))


@dataclass(frozen=True)
class Case:
    """A layout: its dataset, with the place of the mask, and what writes the rest."""

    dataset: type
    mask: str
    others: Callable[[Path], object]
    split: str = "val"
    put: Callable[[Path, Path], object] = as_png
    options: tuple = ()


def image(*paths):
    return lambda root: [save(root / path, np.zeros((*SHAPE, 3))) for path in paths]


def folder(classes, **options):
    def others(root):
        image("images/val/a.png")(root)
        (root / "classes.txt").write_text(classes)

    return Case(Folder, "masks/val/a.png", others, options=tuple(options.items()))


def pascal(root):
    voc = root / "VOC2010"
    save_list(voc / "ImageSets" / "SegmentationContext" / "val.txt", ["a"])
    image("VOC2010/JPEGImages/a.jpg")(root)


COLORED = "road 128 64 128\ncar 0 0 142\nsky 70 130 180\n"
CITY = "leftImg8bit/val/bonn/bonn_000000_000000_leftImg8bit.png"
ONE = np.ones(SHAPE, np.uint16)
CASES = {
    "ade20k": Case(ADE20K, "annotations/validation/a.png", image("images/validation/a.jpg")),
    "cityscapes": Case(Cityscapes, "gtFine/val/bonn/bonn_000000_000000_gtFine_labelIds.png", image(CITY)),
    "cityscapes of train ids": Case(
        Cityscapes, "gtFine/val/bonn/bonn_000000_000000_gtFine_labelTrainIds.png", image(CITY),
        options=(("encoding", "train_ids"),),
    ),
    "camvid of SegNet": Case(CamVid, "valannot/a.png", image("val/a.png")),
    "camvid in colours": Case(
        CamVid, "LabeledApproved_full/x_L.png", image("701_StillsRaw_full/x.png"), "test"
    ),
    "camvid in colours, merged otherwise": Case(
        CamVid, "LabeledApproved_full/x_L.png", image("701_StillsRaw_full/x.png"), "test",
        options=(("merge", "segnet_measured"),),
    ),
    "coco-stuff of MMSegmentation": Case(
        CocoStuff10k, "annotations/test2014/a_labelTrainIds.png", image("images/test2014/a.jpg")
    ),
    "coco-stuff, official": Case(
        CocoStuff10k, "annotations/a.mat", lambda root: coco_official(root, {"test": {"a": ONE}}), put=as_mat(coco_map)
    ),
    "pascal-context of MMSegmentation": Case(PascalContext, "VOC2010/SegmentationClassContext/a.png", pascal),
    "pascal-context, official": Case(
        PascalContext, "trainval/a.mat", lambda root: pascal_official(root, {"val": {"a": ONE}}),
        put=as_mat(lambda path, pixels: save_map(path, LabelMap=pixels)),
    ),
    "folder": folder("road\ncar\nsky\n"),
    "folder that counts from 1": folder("road\ncar\nsky\n", first_value=1),
    "folder with colours": folder(COLORED, first_value=1),
    "folder of 16 bits": folder("road\ncar\nsky\n", first_value=300),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_prediction_in_the_place_of_a_mask_is_read_as_it_was_predicted(tmp_path, name):
    case, root = CASES[name], tmp_path / "data"
    root.mkdir()
    case.others(root)
    (root / case.mask).parent.mkdir(parents=True, exist_ok=True)
    options = dict(case.options)
    labels = LabelTable.from_dict(json.loads(json.dumps(case.dataset.labels_for(root=root, **options).to_dict())))
    ids = np.random.default_rng(0).permutation(np.arange(np.prod(SHAPE)) % labels.num_classes)
    ids = ids.reshape(SHAPE).astype(np.uint8)
    results = Results(tmp_path / "out", labels, ["mask"], "dataset")
    results.write(painting(ids, labels), image_for(ids), Path("a.png"))
    case.put(tmp_path / "out" / "masks" / "a.png", root / case.mask)
    dataset = case.dataset(root, case.split, **options)
    assert len(dataset) == 1
    assert np.array_equal(dataset.mask(0), ids)
    results.write_record()
    listed = json.loads((tmp_path / "out" / "predictions.json").read_text())
    values = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    for train_id, one in enumerate(listed["classes"]):
        assert one["name"] == labels.classes[train_id]
        assert (values[ids == train_id] == one["value"]).all()


def test_values_of_known_datasets():
    """Against the datasets' own documents."""
    assert ADE20K.labels.values == tuple(range(1, 151))
    assert Cityscapes.labels.values[:3] == (7, 8, 11)
    assert Streets.labels.values == tuple(range(11))


def test_values_that_nobody_has_told_are_not_guessed(tmp_path):
    with pytest.raises(DataError, match=r"toy.*values=train_ids"):
        Results(tmp_path, LabelTable("toy", ("a",), ((0, 0, 0),)), values="dataset")


def test_a_folder_that_counts_from_1_is_predicted_into_masks_that_score_what_was_scored(tmp_path):
    """Training, prediction of the validation images and evaluation, by the commands."""
    rng, root = np.random.default_rng(0), tmp_path / "mine"
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            mask = np.kron(rng.integers(1, 4, (4, 4)), np.ones((16, 16), int))
            save(root / "masks" / split / f"{index}.png", mask)
            save(
                root / "images" / split / f"{index}.png",
                np.stack([mask * 60] * 3, -1) + rng.integers(0, 40, (64, 64, 3)),
            )
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    tiny = [item for item in TINY if not item.startswith("data.dataset")]
    settings = [
        "data=folder",
        f"data.root={root}",
        "data.dataset.first_value=1",
        "logger=none",
        "~callbacks.pictures",
    ]
    assert run("train", *settings, *tiny, "hydra.run.dir=run", cwd=tmp_path).returncode == 0
    checkpoint = "checkpoint=run/checkpoints/last.ckpt"
    done = run(
        "predict",
        checkpoint,
        f"input={root}/images/val",
        "values=dataset",
        "device=cpu",
        "hydra.run.dir=p",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "values of the dataset's masks" in done.stdout
    found = [np.asarray(Image.open(tmp_path / "p" / "masks" / f"{index}.png")) for index in range(2)]
    truth = [np.asarray(Image.open(root / "masks" / "val" / f"{index}.png")) for index in range(2)]
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (np.stack(truth).astype(int) - 1, np.stack(found).astype(int) - 1), 1)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["confusion"] == confusion.tolist()
    for index in range(2):
        shutil.copy(tmp_path / "p" / "masks" / f"{index}.png", root / "masks" / "val" / f"{index}.png")
    evaluation = ["protocols.multi_scale=null", "trainer.accelerator=cpu", "hydra.run.dir=e"]
    done = run("evaluate", checkpoint, *evaluation, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["single_scale"]["pixel_accuracy"] == 1.0

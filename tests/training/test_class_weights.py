"""Class weights from the data: counted once, in the checkpoint as numbers, the same numbers when a run goes on."""

import numpy as np
import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.cli import train
from contextrast.contrast import balanced_weights
from contextrast.data import LabelTable, SegmentationDataModule, SegmentationDataset, Streets
from contextrast.errors import ConfigError, DataError
from contextrast.training.assembly import build_datamodule, build_module
from contextrast.training.class_weights import with_class_weights
from tests.conftest import TINY

AUTO = "loss.base.cross_entropy.class_weights=auto"
ENOUGH = [*TINY, "data.dataset.lengths.train=40", "data.dataset.size=[96,128]"]  # for a pixel of each class


class Stripes(SegmentationDataset):
    """Twelve images of two classes, the second in the last row of every third one; one may be unreadable."""

    labels = LabelTable("stripes", ("ground", "line"), ((0, 0, 0), (1, 1, 1)))
    has_lines, unreadable = True, -1

    def __init__(self, split, transform=None):
        super().__init__(transform)

    def __len__(self):
        return 12

    def name(self, index):
        return str(index)

    source = name

    def read(self, index):
        if index == self.unreadable:
            raise DataError("a hole in it")
        mask = np.zeros((4, 4), np.uint8)
        mask[0] = 255
        mask[3] = self.has_lines and index % 3 == 0
        return np.zeros((4, 4, 3), np.uint8), mask


def data(**options):
    return SegmentationDataModule(Stripes, (4, 4), 2, num_workers=0, **options)


def test_frequencies_are_shares_of_labelled_pixels_in_images_as_they_are():
    assert data().class_frequencies() == pytest.approx((8 / 9, 1 / 9))  # crops and flips have no part in it


def test_a_dataset_says_in_how_many_images_classes_are_counted(monkeypatch):
    monkeypatch.setattr(Stripes, "counted_images", 4)
    assert data().class_frequencies() == pytest.approx((2 / 3, 1 / 3))  # images 0, 3, 6, 9


def test_known_frequencies_are_not_counted(monkeypatch):
    labels = LabelTable("stripes", ("ground", "line"), ((0, 0, 0), (1, 1, 1)), (0.7, 0.3))
    monkeypatch.setattr(Stripes, "labels", labels)
    monkeypatch.setattr(Stripes, "read", None)
    assert data().class_frequencies() == (0.7, 0.3)


def test_an_image_that_cannot_be_read_stops_the_count_or_is_left_out(monkeypatch):
    monkeypatch.setattr(Stripes, "unreadable", 0)
    with pytest.raises(DataError, match="a hole in it"):
        data().class_frequencies()
    assert data(on_bad_sample="skip").class_frequencies() == pytest.approx((1 - 1 / 11, 1 / 11))


def test_every_auto_is_replaced_and_nothing_else_is_touched():
    loss = {"a": {"class_weights": "auto", "b": [1]}, "c": {"class_weights": [2.0, 3.0]}, "class_weights": None}
    weights = [round(weight, 4) for weight in balanced_weights((8 / 9, 1 / 9))]
    expected = {"a": {"class_weights": weights, "b": [1]}, "c": {"class_weights": [2.0, 3.0]}, "class_weights": None}
    assert with_class_weights(loss, data()) == expected


def test_a_class_without_a_pixel_is_named(monkeypatch):
    monkeypatch.setattr(Stripes, "has_lines", False)
    with pytest.raises(ConfigError, match=r"no pixel of line\b"):
        with_class_weights({"class_weights": "auto"}, data())


def test_counting_does_not_move_the_draws_of_training(composed):
    draws = []
    for more in ([], [AUTO]):
        config = composed("train", *ENOUGH, *more)
        torch.manual_seed(0)
        build_module(config, build_datamodule(config.data))
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_a_run_has_the_weights_in_its_checkpoint_and_goes_on_with_them(tmp_path, monkeypatch):
    def start(*arguments):
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        train.main()

    def weights():
        config = load_checkpoint("run/checkpoints/last.ckpt").config
        return config["loss"]["base"]["cross_entropy"]["class_weights"]

    monkeypatch.chdir(tmp_path)
    start(
        *ENOUGH,
        AUTO,
        "logger=none",
        "scheduler=constant",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "hydra.run.dir=run",
    )
    (tmp_path / "run" / "metrics.json").unlink()
    pixels = sum(
        np.bincount(Streets("train", size=(96, 128), lengths={"train": 40}).read(index)[1].ravel(), minlength=256)
        for index in range(40)
    )[:11]
    assert weights() == pytest.approx(balanced_weights((pixels / pixels.sum()).tolist()), abs=1e-4)
    before = weights()
    start("resume=run", "trainer.max_steps=4")
    assert load_checkpoint("run/checkpoints/last.ckpt").step == 4
    assert weights() == before


def test_a_list_of_the_wrong_length_is_refused(composed):
    config = composed("train", *TINY, "loss.base.cross_entropy.class_weights=[1.0,2.0]")
    module = build_module(config, build_datamodule(config.data))
    with pytest.raises(ConfigError, match="2 values for 11 classes"):
        module.loss.base(torch.zeros(1, 11, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))

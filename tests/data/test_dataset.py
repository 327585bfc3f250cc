import pickle

import numpy as np
import pytest
import torch

from contextrast.data import IGNORE_INDEX, LabelTable, SampleKey, SegmentationDataset
from contextrast.errors import DataError

from .conftest import Stripes


class Fixed(SegmentationDataset):
    """One sample that is given to it."""

    labels = LabelTable("two", ("a", "b"), ((255, 0, 0), (0, 0, 255)))

    def __init__(self, image, mask, transform=None):
        super().__init__(transform)
        self.sample = np.asarray(image, np.uint8), np.asarray(mask, np.uint8)

    def __len__(self):
        return 1

    def name(self, index):
        return "fixed"

    def source(self, index):
        return "some/image.png"

    def mask_source(self, index):
        return "some/mask.png"

    def read(self, index):
        return self.sample


def test_sample_has_the_promised_types():
    image = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    sample = Fixed(image, [[0, 1, 255], [1, 1, 0]])[0]
    assert sample["image"].dtype == torch.uint8
    assert torch.equal(sample["image"], torch.tensor(image, dtype=torch.uint8).permute(2, 0, 1))
    assert sample["mask"].dtype == torch.int64
    assert sample["mask"].tolist() == [[0, 1, 255], [1, 1, 0]]
    assert sample["name"] == "fixed"


def test_iteration_ends():
    assert [sample["name"] for sample in Stripes(length=3)] == ["train0", "train1", "train2"]


def test_transform_gets_the_key():
    keys = []

    def record(image, mask, key):
        keys.append(key)
        return image, mask

    dataset = Fixed(np.zeros((2, 3, 3)), np.zeros((2, 3)), record)
    dataset[0]
    dataset[SampleKey(7, 0)]
    assert keys == [SampleKey(0, 0), SampleKey(7, 0)]


def test_different_sizes_name_both_files():
    with pytest.raises(DataError) as caught:
        Fixed(np.zeros((2, 3, 3)), np.zeros((4, 5)))[0]
    assert "some/image.png is 3x2 (width x height), some/mask.png is 5x4" in str(caught.value)


@pytest.mark.parametrize(("bad", "named"), [([2], "2"), ([254], "254"), ([7, 2, 7, 200], "2, 7, 200")])
def test_unknown_values_are_named_with_their_file(bad, named):
    mask = np.zeros((2, 3), np.uint8)
    mask.flat[: len(bad)] = bad
    mask[1, 2] = IGNORE_INDEX
    with pytest.raises(DataError) as caught:
        Fixed(np.zeros((2, 3, 3)), mask)[0]
    message = str(caught.value)
    assert message.startswith(f"some/mask.png has the value(s) {named}, which are neither a class of two (0..1)")
    assert str(IGNORE_INDEX) in message


def test_all_ignored_and_all_classes_pass():
    assert (Fixed(np.zeros((1, 3, 3)), [[255, 255, 255]])[0]["mask"] == 255).all()
    assert Fixed(np.zeros((1, 3, 3)), [[0, 1, 255]])[0]["mask"].tolist() == [[0, 1, 255]]


def test_picture_shows_image_and_colored_mask():
    picture = Fixed(np.full((1, 2, 3), 9), [[1, 255]]).picture(0)
    assert picture.tolist() == [[[9, 9, 9], [9, 9, 9], [0, 0, 255], [0, 0, 0]]]


def test_plot_shows_image_mask_and_classes():
    figure = Fixed(np.full((1, 2, 3), 9), [[1, 255]]).plot(0)
    shown = [axes.images[0].get_array().tolist() for axes in figure.axes]
    assert shown == [[[[9, 9, 9], [9, 9, 9]]], [[[0, 0, 255], [0, 0, 0]]]]
    assert figure.get_suptitle() == "fixed"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "ignored"]


@pytest.mark.parametrize("show", ["plot", "picture"])
def test_what_cannot_be_trained_on_cannot_be_drawn(show):
    with pytest.raises(DataError, match=r"some/mask\.png has the value\(s\) 2,"):
        getattr(Fixed(np.zeros((1, 2, 3)), [[1, 2]]), show)(0)


def test_classes_do_not_depend_on_arguments_unless_a_dataset_says_so():
    assert Fixed.labels_for(root="anywhere", whatever=3) is Fixed.labels
    assert Fixed.splits == ("train", "val", "test")
    assert not Fixed.withheld


def test_datasets_reach_spawned_workers():
    copy = pickle.loads(pickle.dumps(Stripes()))
    assert torch.equal(copy[3]["image"], Stripes()[3]["image"])

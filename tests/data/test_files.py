import numpy as np
import pytest

from contextrast.data import FileDataset, LabelTable
from contextrast.data.files import check_choice, check_parts, existing_folder, no_layout, splits_found
from contextrast.data.masks import decode_mask
from contextrast.data.pairing import Pair
from contextrast.errors import ConfigError, DataError

from .conftest import grey, save
from .test_decoding import save_turned


class Files(FileDataset):
    labels = LabelTable("two", ("a", "b"), ((255, 0, 0), (0, 0, 255)))


@pytest.fixture
def image(tmp_path):
    """A stored picture of 4x6 that a viewer turns to 6x4."""
    return save_turned(tmp_path / "image.png", grey(1), 6)


def dataset(image, mask):
    return Files([Pair("one", image, mask)], decode_mask)


@pytest.mark.parametrize("size", [(4, 6), (6, 4)])
def test_masks_may_fit_the_stored_or_the_turned_image(tmp_path, image, size):
    sample = dataset(image, save(tmp_path / "mask.png", np.ones(size)))[0]
    assert sample["image"].shape == (3, *size)
    assert sample["mask"].shape == size


def test_masks_that_fit_neither_show_at_once_with_both_sizes(tmp_path, image):
    mask = save(tmp_path / "mask.png", np.ones((3, 5)))
    with pytest.raises(DataError) as caught:
        dataset(image, mask)
    assert f"{image} is 6x4 (4x6 turned as its orientation tag says), {mask} is 5x3" in str(caught.value)


def test_images_without_the_tag_are_never_turned(tmp_path):
    image = save(tmp_path / "image.png", grey(1))
    with pytest.raises(DataError, match=r"image\.png is 6x4, .*mask\.png is 4x6"):
        dataset(image, save(tmp_path / "mask.png", np.ones((6, 4))))


def test_without_a_mask_file_everything_is_ignored(image):
    files = dataset(image, None)
    assert (files[0]["mask"] == 255).all()
    assert files[0]["mask"].shape == (6, 4)  # as a viewer shows it
    assert files.mask_source(0) == files.source(0) == str(image)
    assert (len(files), files.name(0)) == (1, "one")


def test_choices():
    check_choice("split", "val", ("train", "val"), "Toy")
    with pytest.raises(ConfigError, match=r"split=x is unknown to Toy; choose one of train, val\."):
        check_choice("split", "x", ("train", "val"), "Toy")


def test_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing_folder("~", "Toy", "Layouts.") == tmp_path
    with pytest.raises(DataError, match=r"Toy needs data\.root, the folder it lies in\. Layouts\."):
        existing_folder(None, "Toy", "Layouts.")
    with pytest.raises(DataError, match=r"The Toy folder .*/none does not exist\. Layouts\."):
        existing_folder(tmp_path / "none", "Toy", "Layouts.")
    assert str(no_layout(tmp_path, "Toy", "Layouts.")).endswith("is empty. Layouts.")
    assert splits_found(tmp_path) == "none"
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    assert str(no_layout(tmp_path, "Toy", "Layouts.")).endswith("holds none of its layouts. Layouts.")
    assert splits_found(tmp_path) == "a, b"


def test_parts(tmp_path):
    parts = {name: tmp_path / name for name in ("images", "masks", "more")}
    with pytest.raises(DataError, match=r"The Toy folder .* is empty\. Layouts\."):
        check_parts(tmp_path, parts, "Toy", "Layouts.")
    parts["images"].mkdir()
    with pytest.raises(DataError, match=r"has images/, but no masks/ and more/\. Layouts\."):
        check_parts(tmp_path, parts, "Toy", "Layouts.")
    parts["masks"].mkdir()
    parts["more"].mkdir()
    check_parts(tmp_path, parts, "Toy", "Layouts.")

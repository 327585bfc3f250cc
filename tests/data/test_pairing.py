from pathlib import Path

import numpy as np
import pytest

from contextrast.data.pairing import Pair, check_headers, image_files, match
from contextrast.data.problems import collected_problems, collecting, fail_if
from contextrast.errors import DataError

from .conftest import save


def test_only_visible_image_files_count(tmp_path):
    for name in ("b.png", "a.JPG", "._a.jpg", ".hidden.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert list(image_files(tmp_path).items()) == [("a", tmp_path / "a.JPG"), ("b", tmp_path / "b.png")]
    assert image_files(tmp_path / "missing") == {}


def test_files_that_differ_in_suffix_only_are_named(tmp_path):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        image_files(tmp_path)


def test_every_lonely_file_is_listed():
    images = {name: Path(f"images/{name}.jpg") for name in "abc"}
    masks = {name: Path(f"masks/{name}.png") for name in "bcd"}
    with pytest.raises(DataError) as caught:
        match(images, masks, "abcde", "toy train")
    assert str(caught.value).splitlines() == [
        "toy train is incomplete; add the missing files or remove the single ones:",
        "  image without mask: images/a.jpg",
        "  mask without image: masks/d.png",
        "  neither image nor mask: e",
    ]


def test_ten_are_listed_and_the_rest_counted():
    images = {str(index): Path(f"{index}.jpg") for index in range(13)}
    with pytest.raises(DataError) as caught:
        match(images, {}, images, "toy train")
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  ... and 3 more"


def test_pairs_keep_the_order_asked_for():
    images = {name: Path(f"images/{name}.jpg") for name in "abc"}
    masks = {name: Path(f"masks/{name}.png") for name in "abc"}
    assert match(images, masks, "cb", "") == [
        Pair("c", Path("images/c.jpg"), Path("masks/c.png")),
        Pair("b", Path("images/b.jpg"), Path("masks/b.png")),
    ]


def test_headers_show_unequal_sizes_and_non_images(tmp_path):
    good = Pair("good", save(tmp_path / "good.jpg", np.zeros((4, 6, 3))), save(tmp_path / "good.png", np.zeros((4, 6))))
    sizes = Pair("sizes", good.image, save(tmp_path / "small.png", np.zeros((2, 3))))
    text = tmp_path / "text.png"
    text.write_text("no image")
    check_headers([good])
    with pytest.raises(DataError) as caught:
        check_headers([good, sizes, Pair("text", good.image, text)])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(f"{good.image} is 6x4, {sizes.mask} is 3x2")
    assert f"  {text} cannot be decoded" in lines[2]


def test_masks_of_other_formats_and_splits_without_masks_pass(tmp_path):
    image = save(tmp_path / "a.png", np.zeros((4, 6)))
    check_headers([Pair("mat", image, tmp_path / "a.mat"), Pair("none", image, None)])
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        check_headers([Pair("gone", tmp_path / "gone.png", None)])


def test_names_are_keys_without_folders():
    images = {"aachen/one.two": Path("aachen/one.two_leftImg8bit.png")}
    masks = {"aachen/one.two": Path("aachen/one.two_labels.png")}
    assert [pair.name for pair in match(images, masks, images, "")] == ["one.two"]


def test_a_checker_gets_all_problems_and_the_complete_pairs(tmp_path):
    images = {str(index): tmp_path / f"{index}.jpg" for index in range(13)}
    masks = {"0": tmp_path / "0.png"}
    with collected_problems() as problems:
        pairs = match(images, masks, images, "toy train")
        check_headers(pairs)  # the files are not there, which whoever reads them finds out
        assert collecting()
    assert [pair.name for pair in pairs] == ["0"]
    assert len(problems) == 12
    assert problems[0].startswith("toy train is incomplete; ")
    assert problems[0].endswith(f"image without mask: {tmp_path / '1.jpg'}")
    assert not collecting()
    with pytest.raises(DataError, match="outside"):
        fail_if(["something"], "outside of it")

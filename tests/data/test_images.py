"""Which files are images: everybody who asks gets the same answer."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextrast.data import Folder
from contextrast.data.formats import FORMATS
from contextrast.data.images import SUFFIXES, find_images, images_of
from contextrast.data.pairing import image_files
from contextrast.errors import ConfigError, DataError

from .conftest import save


@pytest.fixture
def folder(tmp_path):
    """Images at two depths, with what systems and editors leave beside them."""
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt", "deep/c.webp", "deep/._c.webp", ".trash/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_images_of_a_folder_are_files_that_are_not_hidden(folder):
    assert images_of(folder) == [folder / "a.JPG", folder / "b.png"]
    assert images_of(folder, subfolders=True) == [folder / "a.JPG", folder / "b.png", folder / "deep" / "c.webp"]


def test_datasets_and_predictions_see_the_same_images(folder):
    assert list(image_files(folder).values()) == images_of(folder)
    everything = images_of(folder, subfolders=True)
    assert [path for path, _ in find_images("input", str(folder))] == everything
    assert image_files(folder, subfolders=True) == dict(zip(("a", "b", "deep/c"), everything, strict=True))


def test_what_is_left_out_is_said_once_with_examples(folder, caplog):
    (folder / "folder.png" / "e.png").touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert folder / "folder.png" / "e.png" in images_of(folder, subfolders=True)
    (said,) = caplog.messages
    assert said.startswith(f"Left out in {folder}: ")
    for part in ("2 hidden files (.hidden.png, deep/._c.webp)", "1 other suffixes than those of images (notes.txt)",
                 "1 folders called as images are (images in them count) (folder.png)"):  # fmt: skip
        assert part in said
    caplog.clear()
    assert find_images("input", str(folder / "*")) == [(folder / name, Path(name)) for name in ("a.JPG", "b.png")]
    (said,) = caplog.messages
    assert "3 folders (.trash, deep, folder.png)" in said
    assert "notes.txt" in said


def test_published_layouts_say_nothing_of_their_other_files(folder, caplog):
    image_files(folder)
    assert not caplog.messages


def test_linked_folders_count_and_circles_end(tmp_path, caplog):
    for name in ("own/a.png", "elsewhere/b.png", "elsewhere/deep/c.png"):
        save(tmp_path / name, np.zeros((2, 2)))
    (tmp_path / "own" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own" / "again").symlink_to(tmp_path / "own")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "own")
    own = tmp_path / "own"
    assert images_of(own, subfolders=True) == [own / name for name in ("a.png", "linked/b.png", "linked/deep/c.png")]
    assert "2 links to a folder that they are in (again, linked/back)" in caplog.text


def test_what_a_command_writes_is_no_input_of_it(tmp_path, caplog):
    photos = tmp_path / "photos"
    for name in ("a.png", "masks/a.png", "earlier/masks/a.png", "earlier/.hydra/config.yaml", "masks_of_mine/a.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    found = find_images("input", str(photos), exclude=[photos / "masks", photos / "not yet there"])
    assert [str(name) for _, name in found] == ["a.png", "masks_of_mine/a.png"]
    assert "1 folders that this command writes (masks)" in caplog.text
    assert "1 folders of runs (earlier)" in caplog.text
    given = find_images("input", str(photos / "earlier"))  # whoever names a run's folder means it
    assert [str(name) for _, name in given] == ["masks/a.png"]


def test_names_that_are_no_text_are_left_out(tmp_path, caplog):
    for name in (b"\xff.png", b"\xfe/a.png"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "a.png").touch()
    assert find_images("input", str(tmp_path)) == [(tmp_path / "a.png", Path("a.png"))]
    assert "2 names that are no Unicode text" in caplog.text
    caplog.text.encode()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_counts_in_either_case(tmp_path, suffix):
    for name in (f"a{suffix}", f"b{suffix.upper()}"):
        (tmp_path / name).touch()
    assert len(images_of(tmp_path)) == 2


def test_suffixes_are_all_those_of_the_formats_that_are_read():
    pictures = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert set(SUFFIXES) == pictures | {".npy"}


def test_what_is_no_folder_has_no_images(tmp_path):
    (tmp_path / "file").touch()
    assert images_of(tmp_path / "missing") == images_of(tmp_path / "file") == []


def test_a_name_that_no_folder_can_have_is_said(tmp_path):
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(DataError, match="cannot be looked into"):
            images_of(tmp_path / name)


def test_results_are_named_after_where_an_image_lies(folder, monkeypatch):
    assert [name for _, name in find_images("input", str(folder))] == [
        Path("a.JPG"),
        Path("b.png"),
        Path("deep/c.webp"),
    ]
    assert find_images("input", str(folder / "b.png")) == [(folder / "b.png", Path("b.png"))]
    assert find_images("input", str(folder / "*.png")) == [(folder / "b.png", Path("b.png"))]
    monkeypatch.chdir(folder)
    assert find_images("input", "deep/*.webp")[-1] == (Path("deep/c.webp"), Path("c.webp"))


def test_what_matches_nothing_is_said_with_its_setting(tmp_path):
    with pytest.raises(DataError, match=r"images=.*nothing"):
        find_images("images", str(tmp_path / "nothing*"))


class TestFolderOfOnesOwn:
    def write(self, root, *names):
        for name in names:
            save(root / name, np.zeros((4, 6)) if name.startswith("masks") else np.zeros((4, 6, 3)))
        (root / "classes.txt").write_text("road\nsky\n")
        return root

    def test_folders_inside_are_part_of_the_name(self, tmp_path):
        names = [f"{kind}/train/{name}.png" for kind in ("images", "masks") for name in ("a", "site_1/b", "site_2/b")]
        dataset = Folder(self.write(tmp_path, *names))
        assert [dataset.name(index) for index in range(3)] == ["a", "site_1_b", "site_2_b"]
        assert [str(pair.mask.relative_to(tmp_path)) for pair in dataset.pairs] == names[3:]

    def test_an_image_in_a_folder_needs_its_mask(self, tmp_path):
        root = self.write(tmp_path, "images/train/a.png", "masks/train/a.png", "images/train/site_1/b.png")
        with pytest.raises(DataError, match=r"image without mask: .*site_1/b\.png"):
            Folder(root)

    def test_folders_may_be_linked(self, tmp_path):
        self.write(tmp_path / "elsewhere", "images/a.png", "masks/a.png")
        self.write(tmp_path / "own", "images/train/b.png", "masks/train/b.png")
        for kind in ("images", "masks"):
            (tmp_path / "own" / kind / "train" / "more").symlink_to(tmp_path / "elsewhere" / kind)
            (tmp_path / "own" / kind / "val").symlink_to(tmp_path / "elsewhere" / kind)
        assert len(Folder(tmp_path / "own")) == 2
        assert len(Folder(tmp_path / "own", "val")) == 1

    @pytest.mark.parametrize("form", [0, 1])
    def test_names_are_compared_as_they_are_read(self, tmp_path, form):
        composed, decomposed = "b\u00e4ume", "ba\u0308ume"  # the same word
        names = (composed, decomposed)[form], (decomposed, composed)[form]
        root = self.write(tmp_path, f"images/train/{names[0]}.png", f"masks/train/{names[1]}.png")
        assert Folder(root).name(0) == composed

    @pytest.mark.parametrize(
        ("images", "masks", "proposed"),
        [
            ("a b", "a_mask b_mask", "mask_suffix=_mask"),
            ("a", "a_mask", "mask_suffix=_mask"),
            ("frame_01 frame_02", "frame_01-labels frame_02-labels", "mask_suffix=-labels"),
            ("x_image y_image", "x_mask y_mask", "image_suffix=_image data.dataset.mask_suffix=_mask"),
            ("a b", "a_mask a_color b_mask b_color", "mask_suffix=_mask"),
            ("s/a s/b", "s/a_mask s/b_mask", "mask_suffix=_mask"),
            ("a b c", "a_mask b_mask", "mask_suffix=_mask"),
            ("a_1 b_1", "a_gt_mask b_gt_mask", "image_suffix=_1 data.dataset.mask_suffix=_gt_mask"),
            ("a b", "mask_a mask_b", "mask_prefix=mask_"),
            ("s/a s/b", "s/mask_a s/mask_b", "mask_prefix=mask_"),
            ("img-1 img-2", "seg-1 seg-2", "image_prefix=img- data.dataset.mask_prefix=seg-"),
            ("x_1 x_2", "1_gt 2_gt", "image_prefix=x_ data.dataset.mask_suffix=_gt"),
        ],
    )
    def test_affixes_are_proposed_and_then_fit(self, tmp_path, images, masks, proposed):
        files = [f"images/train/{name}.png" for name in images.split()]
        root = self.write(tmp_path, *files, *(f"masks/train/{name}.png" for name in masks.split()))
        with pytest.raises(DataError, match=rf"names fit with data\.dataset\.{proposed}\)"):
            Folder(root)
        if len(images.split()) < 3:
            settings = dict(one.rpartition(".")[2].split("=") for one in proposed.split())
            assert len(Folder(root, **settings)) == len(images.split())

    def test_a_prefix_and_a_suffix_together(self, tmp_path):
        root = self.write(
            tmp_path, "images/train/s/a.png", "masks/train/s/gt_a_ids.png", "masks/train/s/gt_a_color.png"
        )
        assert Folder(root, mask_prefix="gt_", mask_suffix="_ids").name(0) == "s_a"
        with pytest.raises(ConfigError, match=r"data\.dataset\.mask_prefix=5 has to be text"):
            Folder(root, mask_prefix=5)

    def test_none_is_proposed_where_none_fits(self, tmp_path):
        with pytest.raises(DataError) as caught:
            Folder(self.write(tmp_path, "images/train/a_1.png", "masks/train/b_2.png"))
        assert "suffix=" not in str(caught.value)

"""Which files are images: everybody who asks gets the same answer."""

from pathlib import Path

import pytest

from contextrast.data.images import SUFFIXES, find_images, images_of
from contextrast.data.pairing import image_files
from contextrast.errors import DataError


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
    assert [path for path, _ in find_images("input", str(folder))] == images_of(folder, subfolders=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_counts_in_either_case(tmp_path, suffix):
    for name in (f"a{suffix}", f"b{suffix.upper()}"):
        (tmp_path / name).touch()
    assert len(images_of(tmp_path)) == 2


def test_what_is_no_folder_has_no_images(tmp_path):
    (tmp_path / "file").touch()
    assert images_of(tmp_path / "missing") == images_of(tmp_path / "file") == []


def test_a_name_that_no_folder_can_have_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be looked into"):
        images_of(tmp_path / ("x" * 300))


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

"""Images with orientation tags and their masks: what a dataset reads is what a viewer shows, or what was said."""

import numpy as np
import pytest
from PIL import Image

from contextrast.data import Folder, SegmentationDataModule
from contextrast.data.decoding import decode_image
from contextrast.errors import ConfigError, DataError

from .conftest import save

METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a picture is stored that a viewer then turns back as the tag says."""


def scene(height, width):
    """A picture whose brightness is its class, 100 times: every turn of it is another one."""
    return (np.arange(height * width).reshape(height, width) * 3 // (height * width)).astype(np.uint8)


def write(root, split, name, tag, ids, of_stored=False):
    """Writes a picture with a tag; its mask is of what a viewer shows, or of what is stored."""
    shown = Image.fromarray(ids)
    stored = shown.transpose(METHODS[tag]) if tag in METHODS else shown
    exif = Image.Exif()
    exif[274] = tag
    path = root / "images" / split / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    stored.point(lambda value: value * 100).convert("RGB").save(path, exif=exif)
    save(root / "masks" / split / f"{name}.png", np.asarray(stored if of_stored else shown))
    (root / "classes.txt").write_text("a\nb\nc\n")


def module(root, **settings):
    return SegmentationDataModule(Folder, [2, 2], 1, root=root, num_workers=0, **settings)


def agree(dataset):
    return [
        bool((dataset.read(index)[0][..., 0] == 100 * dataset.read(index)[1]).all()) for index in range(len(dataset))
    ]


@pytest.mark.parametrize("size", [(6, 9), (6, 6)])
@pytest.mark.parametrize("tag", [1, *METHODS])
def test_masks_of_what_a_viewer_shows_agree(tmp_path, tag, size):
    write(tmp_path, "train", "a", tag, scene(*size))
    for orientation in ("auto", "viewer"):
        assert agree(module(tmp_path, orientation=orientation).dataset("train")) == [True]
    shown = decode_image(tmp_path / "images" / "train" / "a.png")  # as prediction and demo read it
    assert np.array_equal(shown, module(tmp_path).dataset("train").read(0)[0])


@pytest.mark.parametrize("size", [(6, 9), (6, 6)])
@pytest.mark.parametrize("tag", [1, *METHODS])
def test_masks_of_what_is_stored_agree_where_that_is_said(tmp_path, tag, size):
    write(tmp_path, "train", "a", tag, scene(*size), of_stored=True)
    assert agree(module(tmp_path, orientation="stored").dataset("train")) == [True]
    if tag > 4 and size == (6, 9):
        assert agree(module(tmp_path).dataset("train")) == [True]


@pytest.mark.parametrize("splits", [("train", "train"), ("train", "val"), ("val", "train")])
def test_what_sizes_betray_leaves_other_images_in_doubt(tmp_path, splits):
    write(tmp_path, splits[0], "turned", 6, scene(6, 9), of_stored=True)
    write(tmp_path, splits[1], "half", 3, scene(6, 9), of_stored=True)
    for split in {"train", "val"} - set(splits):
        write(tmp_path, split, "plain", 1, scene(6, 9))
    with pytest.raises(
        DataError, match=r"(?s)turned\.png fits it as it is stored.*half\.png has the orientation tag 3"
    ) as told:
        module(tmp_path).setup("fit")
    assert "data.orientation=stored" in str(told.value)
    stored = module(tmp_path, orientation="stored")
    stored.setup("fit")
    assert all(all(agree(stored.dataset(split))) for split in ("train", "val"))


@pytest.mark.parametrize(("orientation", "of_stored"), [("viewer", True), ("stored", False)])
def test_a_setting_that_sizes_contradict_is_refused(tmp_path, orientation, of_stored):
    write(tmp_path, "train", "a", 6, scene(6, 9), of_stored=of_stored)
    sizes = r"9x6, its mask 6x9|6x9, its mask 9x6"
    with pytest.raises(DataError, match=rf"(?s)data\.orientation={orientation} does not fit.*a\.png is then ({sizes})"):
        module(tmp_path, orientation=orientation).setup("fit")


def test_another_setting_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.orientation=exif is unknown; choose one of auto, viewer, stored"):
        module(tmp_path, orientation="exif")


def test_a_cache_keeps_them_apart(tmp_path):
    write(tmp_path, "train", "a", 3, scene(6, 9))
    read = [
        module(tmp_path, orientation=orientation, cache=tmp_path / "cache").dataset("train").read(0)[0]
        for orientation in ("viewer", "stored", "viewer")
    ]
    assert np.array_equal(read[0], read[2])
    assert not np.array_equal(read[0], read[1])

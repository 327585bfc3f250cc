"""Images of more than 8 bits a channel, against the values that were written and the range's definition."""

import cv2
import numpy as np
import pytest
from PIL import Image

from contextrast.data import Folder
from contextrast.data.cache import DecodedCache
from contextrast.data.decoding import decode_image
from contextrast.data.depth import checked_range
from contextrast.errors import ConfigError, DataError

from .conftest import save
from .written import SHOWN, netpbm, save_turned, wide_png, wide_tiff

VALUES = np.random.default_rng(0).integers(0, 4096, (40, 33, 3)).astype(np.uint16)
RANGE = (100.0, 3000.0)


def seen(values, least=RANGE[0], most=RANGE[1]):
    """What a range makes of values, pixel by pixel."""
    return [[[round(255 * min(max((float(value) - least) / (most - least), 0), 1)) for value in pixel] for pixel in row]
            for row in values]  # fmt: skip


def with_alpha(path, values):
    return wide_png(path, np.concatenate([values, np.full((*values.shape[:2], 1), 7, np.uint16)], 2))


def as_jpeg_2000(path, values):
    cv2.imwrite(str(path), values[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.png", wide_png),
        ("x.png", with_alpha),
        ("x.tif", lambda path, values: wide_tiff(path, values, 1)),
        ("x.ppm", lambda path, values: netpbm(path, "P6", values.astype(">u2"), 4095)),
        ("x.ppm", lambda path, values: netpbm(path, "P6", values.astype(">u2"), 65535)),
        ("x.jp2", as_jpeg_2000),
    ],
)
def test_colours_have_the_values_of_the_file(tmp_path, name, write):
    assert decode_image(write(tmp_path / name, VALUES), image_range=RANGE).tolist() == seen(VALUES)


def saved(path, values):
    Image.fromarray(values).save(path)
    return path


def white_is_zero(path, values):
    Image.fromarray((65535 - values.astype(np.int64)).astype(np.uint16)).save(path, tiffinfo={262: 0})
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.png", saved),
        ("x.tif", saved),
        ("x.jp2", saved),
        ("x.tif", white_is_zero),
        ("x.tif", lambda path, values: saved(path, values.astype(np.float32))),
        ("x.png", lambda path, values: wide_png(path, np.stack([values, np.full_like(values, 9)], 2))),
        ("x.pgm", lambda path, values: netpbm(path, "P5", values.astype(">u2"), 4095)),
        ("x.pfm", lambda path, values: netpbm(path, "Pf", values[::-1].astype("<f4"), -1)),
    ],
)
def test_grey_has_the_values_of_the_file(tmp_path, name, write):
    grey = np.stack([VALUES[..., 0]] * 3, 2)
    assert decode_image(write(tmp_path / name, VALUES[..., 0]), image_range=RANGE).tolist() == seen(grey)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_grey_is_turned_as_its_tag_says(tmp_path, tag, suffix, depth):
    stored = VALUES[:5, :7, 0] if depth == 16 else (VALUES[:5, :7, 0] >> 4).astype(np.uint8)
    path = save_turned(tmp_path / f"x{suffix}", stored, tag)
    image_range = (0, 4095) if depth == 16 else None
    expected = np.array(seen(np.stack([stored] * 3, 2), 0, 4095 if depth == 16 else 255), np.uint8)
    assert np.array_equal(decode_image(path, None, "viewer", image_range), SHOWN[tag](expected))
    assert np.array_equal(decode_image(path, None, "stored", image_range), expected)


def test_images_of_8_bits_in_a_range(tmp_path):
    pixels = (VALUES >> 4).astype(np.uint8)
    path = save(tmp_path / "x.png", pixels)
    assert np.array_equal(decode_image(path, image_range=(0, 255)), pixels)
    assert decode_image(path, image_range=(10, 90)).tolist() == seen(pixels, 10, 90)
    with pytest.raises(DataError, match=r"x\.png has 8 bits .*image_range=\[0,4095\] would make nearly black"):
        decode_image(path, image_range=(0, 4095))


def test_what_is_no_number_and_what_is_cut_off_are_refused(tmp_path):
    numbers = np.ones((4, 4), np.float32)
    numbers[1, 1] = np.nan
    with pytest.raises(DataError, match="no numbers"):
        decode_image(saved(tmp_path / "x.tif", numbers), image_range=(0, 1))
    path = wide_png(tmp_path / "x.png", VALUES)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"x\.png cannot be decoded"):
        decode_image(path, image_range=RANGE)


@pytest.mark.parametrize(
    "wrong", [5, "ab", [1], [1, 2, 3], [2, 1], [1, 1], [0, None], [0, "a"], [False, True], [0, float("nan")], {0: 1}]
)
def test_ranges_that_are_none(wrong):
    with pytest.raises(ConfigError, match=r"image_range=.* has to be two numbers that ascend"):
        checked_range(wrong)


def test_a_folder_reads_its_images_in_its_range_and_keeps_them_apart_in_a_cache(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    save(tmp_path / "masks" / "train" / "x.png", VALUES[..., 0] % 2)
    (tmp_path / "images" / "train").mkdir(parents=True)
    wide_png(tmp_path / "images" / "train" / "x.png", VALUES)
    with pytest.raises(DataError, match=r"x\.png is not an image of 8 bits.*data\.dataset\.image_range"):
        Folder(tmp_path)
    cache = DecodedCache(tmp_path / "cache", 2**20)
    for image_range in ([0, 4095], [100, 3000], [0, 4095]):
        image, mask = Folder(tmp_path, image_range=image_range).cached(cache).read(0)
        assert image.tolist() == seen(VALUES, *image_range)
        assert np.array_equal(mask, VALUES[..., 0] % 2)

"""Images of other than three channels, against the values that were written byte by byte or by another library."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from contextrast.data.arrays import array_size, is_array
from contextrast.data.decoding import decode_image
from contextrast.data.depth import checked_range
from contextrast.data.formats import images_up_to
from contextrast.errors import ConfigError, DataError, UnreadableError

from .written import tiff_of_channels

VALUES = np.random.default_rng(0).integers(0, 4096, (9, 14, 5)).astype(np.uint16)
RANGE = (100.0, 3000.0)
RANGES = ((0.0, 4095.0), (100.0, 200.0), (-50.0, 3000.0), (1.0, 2.0), (0.0, 1e5))


def seen(values, ranges):
    """What ranges make of values, number by number."""
    ranges = ranges if isinstance(ranges[0], tuple) else [ranges] * values.shape[2]
    return [
        [
            [round(255 * min(max((float(v) - low) / (high - low), 0), 1)) for v, (low, high) in zip(pixel, ranges)]
            for pixel in row
        ]
        for row in values
    ]


def numpy_file(path, values):
    np.save(path, values)
    return path


def by_tifffile(**how):
    def write(path, values):
        planes = how.get("planarconfig") != "contig"
        tifffile.imwrite(path, values.transpose(2, 0, 1) if planes else values, photometric="minisblack", **how)
        return path

    return write


WAYS = {
    "npy": ("x.npy", numpy_file),
    "npy, channels first": ("x.npy", lambda path, values: numpy_file(path, values.transpose(2, 0, 1))),
    "npy, in Fortran's order": ("x.npy", lambda path, values: numpy_file(path, np.asfortranarray(values))),
    "side by side": ("x.tif", lambda path, values: tiff_of_channels(path, values, 1)),
    "planes": ("x.TIFF", lambda path, values: tiff_of_channels(path, values, 1, planes=True)),
    "pages": ("x.tif", by_tifffile()),
    "tiles, LZW": ("x.tif", by_tifffile(planarconfig="contig", tile=(16, 16), compression="lzw", predictor=True)),
    "planes, Deflate": ("x.tif", by_tifffile(planarconfig="separate", compression="deflate", predictor=True)),
    "ZSTD": ("x.tif", by_tifffile(planarconfig="contig", compression="zstd")),
    "large offsets": ("x.tif", by_tifffile(planarconfig="contig", bigtiff=True)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ranges", [RANGE, RANGES], ids=["one range", "a range each"])
def test_every_way_to_write_an_array_has_its_values(tmp_path, way, ranges):
    name, write = WAYS[way]
    path = write(tmp_path / name, VALUES)
    assert array_size(path, 5) == (14, 9)
    assert decode_image(path, image_range=ranges, channels=5).tolist() == seen(VALUES, ranges)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.uint8, 1), (np.int16, 2), (np.uint32, 1), (np.float32, 3), (np.float64, 3)]
)
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_every_type_of_numbers(tmp_path, dtype, kind, suffix):
    values = (VALUES / (17 if dtype == np.uint8 else 1)).astype(dtype)
    path = tmp_path / f"x{suffix}"
    numpy_file(path, values) if suffix == ".npy" else tiff_of_channels(path, values, kind)
    ranges = (10.0, 90.0) if dtype == np.uint8 else RANGE
    assert decode_image(path, image_range=ranges, channels=5).tolist() == seen(values, ranges)
    if dtype == np.uint8:
        assert decode_image(path, channels=5).tolist() == values.tolist()
    else:
        with pytest.raises(DataError, match=rf"{path.name} .*it has {np.dtype(dtype)}.*image_range=\[0,4095\]"):
            decode_image(path, channels=5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_numbers_of_channels(tmp_path, channels):
    values = VALUES[..., :channels]
    path = numpy_file(tmp_path / "x.npy", values)
    assert decode_image(path, image_range=RANGE, channels=channels).tolist() == seen(values, RANGE)
    flat = numpy_file(tmp_path / "flat.npy", VALUES[..., 0])
    if channels == 1:
        assert decode_image(flat, image_range=RANGE, channels=1).tolist() == seen(values, RANGE)
    else:
        with pytest.raises(DataError, match=r"flat\.npy holds 9x14 numbers"):
            decode_image(flat, channels=channels)


def test_a_picture_stays_a_picture():
    assert not is_array(Path("x.tif"), 3)
    assert is_array(Path("x.tif"), 4)
    assert is_array(Path("x.NPY"), 3)
    with pytest.raises(DataError, match=r"x\.png is no \.npy or TIFF file.*data\.channels=5"):
        decode_image(Path("x.png"), channels=5)


def overview(path):
    with tifffile.TiffWriter(path) as file:
        file.write(VALUES, photometric="minisblack", planarconfig="contig")
        file.write(VALUES[::2, ::2], photometric="minisblack", planarconfig="contig", subfiletype=1)
    return path


def test_overviews_do_not_count_and_two_images_are_refused(tmp_path):
    path = overview(tmp_path / "x.tif")
    assert decode_image(path, image_range=RANGE, channels=5).tolist() == seen(VALUES, RANGE)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(VALUES, photometric="minisblack", planarconfig="contig")
        file.write(VALUES[:4], photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"two\.tif has 2 images"):
        decode_image(tmp_path / "two.tif", image_range=RANGE, channels=5)


def test_what_cannot_be_read_is_said(tmp_path):
    whole = tiff_of_channels(tmp_path / "x.tif", VALUES, 1)
    with pytest.raises(DataError, match=r"holds 9x14x5 numbers, and images have data\.channels=7"):
        decode_image(whole, channels=7)
    turned = tiff_of_channels(tmp_path / "turned.tif", VALUES, 1, orientation=6)
    with pytest.raises(DataError, match="orientation tag 6"):
        decode_image(turned, image_range=RANGE, channels=5)
    with images_up_to(1e-4), pytest.raises(DataError, match=r"promises 126 pixels, the limit is 100.*max_megapixels"):
        decode_image(whole, image_range=RANGE, channels=5)
    with pytest.raises(DataError, match="no numbers"):
        decode_image(numpy_file(tmp_path / "nan.npy", np.full((2, 2, 5), np.nan)), image_range=RANGE, channels=5)
    with pytest.raises(DataError, match=r"holds complex128\. Write"):
        decode_image(numpy_file(tmp_path / "complex.npy", VALUES * 1j), image_range=RANGE, channels=5)
    with pytest.raises(DataError, match="does not exist"):
        decode_image(tmp_path / "none.npy", channels=5)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
@pytest.mark.parametrize("rest", [0, 5, 60, 500])
def test_truncated_files_are_unreadable(tmp_path, suffix, rest):
    path = tmp_path / f"x{suffix}"
    numpy_file(path, VALUES) if suffix == ".npy" else tiff_of_channels(path, VALUES, 1)
    path.write_bytes(path.read_bytes()[:rest])
    with pytest.raises(UnreadableError, match=rf"x\{suffix} cannot be decoded"):
        decode_image(path, image_range=RANGE, channels=5)


def test_pickled_objects_are_not_opened(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[[print]]], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        decode_image(tmp_path / "x.npy", channels=1)


@pytest.mark.parametrize("wrong", [[[0, 1]] * 4, [[0, 1], [1, 0], [0, 1], [0, 1], [0, 1]], [[0, 1], 3, 1, 1, 1], [[]]])
def test_ranges_of_channels_that_are_none(wrong):
    with pytest.raises(ConfigError, match=r"image_range=.* or a pair for each of 5 channel"):
        checked_range(wrong, 5)

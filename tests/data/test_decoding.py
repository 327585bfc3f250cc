import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from contextrast.data import IGNORE_INDEX
from contextrast.data.decoding import ColorMap, ValueMap, decode_image, decode_indices, decode_mask, image_size
from contextrast.errors import DataError

from .conftest import save
from .loading import save_wide

# What a viewer does with a stored picture of each EXIF orientation, written down as array operations.
SHOWN = {
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.transpose(1, 0, 2), 2),
    8: lambda stored: np.rot90(stored, 1),
}


def save_turned(path, pixels, orientation):
    """Writes a picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def save_grey_png(path, rows, bits):
    """Writes a grey PNG of 2 or 4 bits a pixel by hand, as no library here writes it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.fromarray(np.full((3, 4, 3), 255, np.uint8)).convert(mode).save(path)
    pixels = decode_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 4, 3)
    assert (pixels == 255).all()


def test_16_bit_images_are_refused_not_clipped(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.full((3, 4), 40000, np.uint16)).save(path)
    with pytest.raises(DataError, match=r"x\.png .*8 bits"):
        decode_image(path)


def test_masks_keep_their_indices(tmp_path):
    ids = np.array([[0, 1, 11], [254, 255, 7]], np.uint8)
    assert decode_mask(save(tmp_path / "grey.png", ids)).tolist() == ids.tolist()
    palette = Image.fromarray(ids).convert("P")
    palette.putdata(ids.ravel().tolist())
    palette.putpalette([200] * 768)
    palette.save(tmp_path / "palette.png")
    assert decode_mask(tmp_path / "palette.png").tolist() == ids.tolist()


def test_color_masks_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"x\.png is not an index mask"):
        decode_mask(save(tmp_path / "x.png", np.zeros((3, 4, 3))))


def encoded(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("decode", [decode_image, decode_mask])
@pytest.mark.parametrize(
    "content",
    [
        encoded("PNG")[:-2000],
        encoded("PNG")[:40],
        encoded("JPEG")[:-500],
        encoded("PNG")[:60] + b"\0" * 100 + encoded("PNG")[160:],
        b"this is no image",
        b"",
    ],
    ids=["truncated png", "png header", "truncated jpeg", "damaged png", "text", "empty"],
)
def test_damaged_files_are_named(tmp_path, decode, content):
    path = tmp_path / "damaged.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.png cannot be decoded .* truncated or no image"):
        decode(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("decode", [decode_image, decode_indices, image_size])
def test_pipes_and_devices_are_not_waited_for(tmp_path, decode):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(DataError, match=name):
            decode(tmp_path / name)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        decode_image(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("mode", "color", "expected"), [("L", 90, [90, 90, 90]), ("CMYK", (0, 255, 255, 0), [255, 0, 0])]
)
def test_jpegs_of_every_kind_become_rgb(tmp_path, mode, color, expected):
    path = tmp_path / "x.jpg"
    Image.new(mode, (16, 8), color).save(path)
    assert Image.open(path).mode == mode
    pixels = decode_image(path)
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_asked_for_decides_about_rotation(tmp_path, orientation):
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    path = save_turned(tmp_path / "x.png", stored, orientation)
    assert np.array_equal(decode_image(path), stored)
    assert np.array_equal(decode_image(path, size=(2, 3)), stored)
    assert np.array_equal(decode_image(path, size=(3, 2)), SHOWN.get(orientation, lambda same: same)(stored))
    assert np.array_equal(decode_image(path, size=(7, 7)), stored)


@pytest.mark.parametrize("bits", [2, 4])
def test_values_of_few_bits_are_not_stretched(tmp_path, bits):
    rows = [[0, 1, 2, 3], [3, 3, 1, 2**bits - 1]]
    path = save_grey_png(tmp_path / "x.png", rows, bits)
    assert np.asarray(Image.open(path)).max() == 255  # what pillow makes of it
    assert decode_indices(path).tolist() == rows


def test_bits_and_wide_values_keep_their_indices(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert decode_mask(tmp_path / "bits.png").tolist() == [[1, 0]]
    wide = np.array([[0, 255, 256, 26001, 65535]])
    assert decode_indices(save_wide(tmp_path / "wide.png", wide)).tolist() == wide.tolist()
    assert decode_mask(save_wide(tmp_path / "small.png", np.array([[0, 255]]))).tolist() == [[0, 255]]


def test_wide_values_are_refused_not_wrapped(tmp_path):
    with pytest.raises(DataError, match=r"x\.png has values up to 256, but .* not of instances"):
        decode_mask(save_wide(tmp_path / "x.png", np.array([[0, 256]])))


@pytest.mark.parametrize("values", [[-1, 3], [0, 65536]])
def test_values_outside_of_16_bits_are_refused(tmp_path, values):
    path = tmp_path / "x.tif"
    Image.fromarray(np.array([values], np.int32)).save(path)
    with pytest.raises(DataError, match=rf"x\.tif has values from {values[0]} to {values[1]}"):
        decode_indices(path)


def test_fractions_are_refused(tmp_path):
    path = tmp_path / "x.tif"
    Image.fromarray(np.array([[0.5]], np.float32)).save(path)
    with pytest.raises(DataError, match=r"x\.tif is not an index mask .* float32"):
        decode_indices(path)
    with pytest.raises(DataError, match=r"x\.tif is not an image of 8 bits"):
        decode_image(path)


VALUES = st.integers(0, 65535)


@given(
    st.dictionaries(VALUES, st.sampled_from([0, 1, 100, 253, IGNORE_INDEX]), min_size=1), st.lists(VALUES, max_size=5)
)
def test_values_are_looked_up_or_refused(train_ids, others):
    values = [*train_ids, *others]
    unknown = sorted(set(others) - set(train_ids))
    mapped = ValueMap(train_ids, "Look.")
    if unknown:
        with pytest.raises(DataError, match=rf"m\.png has the value\(s\) {', '.join(map(str, unknown))}\. Look\."):
            mapped.map(np.array([values], np.uint16), "m.png")
    else:
        assert mapped.map(np.array([values], np.uint16), "m.png").tolist() == [[train_ids[value] for value in values]]


def test_ten_unknown_values_are_enough(tmp_path):
    path = save(tmp_path / "x.png", np.arange(20)[None])
    with pytest.raises(DataError, match=r"x\.png has the value\(s\) 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.\. Only 0\."):
        ValueMap({0: 0}, "Only 0.")(path)


def test_colors_are_looked_up_and_a_few_others_ignored(tmp_path):
    colors = {(1, 2, 3): 0, (3, 2, 1): 7, (0, 0, 0): IGNORE_INDEX}
    path = save(tmp_path / "x.png", [[(3, 2, 1), (1, 2, 3), (0, 0, 0), (9, 9, 9)]])
    assert ColorMap(colors, "", tolerance=0.25)(path).tolist() == [[7, 0, IGNORE_INDEX, IGNORE_INDEX]]
    with pytest.raises(
        DataError, match=r"x\.png has colours of no class on 25\.0% of its pixels: \[9, 9, 9\]\. Look\."
    ):
        ColorMap(colors, "Look.", tolerance=0.2)(path)

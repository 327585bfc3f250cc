import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from contextrast.data.decoding import decode_image
from contextrast.data.formats import image_size
from contextrast.data.masks import decode_indices, decode_mask
from contextrast.data.orientation import QUARTER_TURNS
from contextrast.errors import DataError

from .written import SHOWN, netpbm, save_turned, wide_png, wide_tiff


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
    with pytest.raises(
        DataError, match=r"damaged\.png (cannot be decoded.* truncated or no image|is compressed with losses)"
    ):
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


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
class TestOrientation:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    def test_alone_an_image_is_turned_as_viewers_do(self, tmp_path, tag, suffix):
        path = save_turned(tmp_path / f"x{suffix}", self.stored, tag)
        assert np.array_equal(decode_image(path), SHOWN[tag](self.stored))
        assert np.array_equal(decode_image(path, (7, 7), "viewer"), SHOWN[tag](self.stored))
        assert np.array_equal(decode_image(path, orientation="stored"), self.stored)
        assert image_size(path) == ((2, 3) if tag in QUARTER_TURNS else (3, 2))

    def test_the_masks_size_decides_where_it_fits_the_stored_picture_alone(self, tmp_path, tag, suffix):
        path = save_turned(tmp_path / f"x{suffix}", self.stored, tag)
        shown = SHOWN[tag](self.stored)
        assert np.array_equal(decode_image(path, (2, 3)), self.stored if tag in QUARTER_TURNS else shown)
        assert np.array_equal(decode_image(path, (3, 2)), shown)


def test_a_tag_behind_the_pixels_of_a_png_counts(tmp_path):
    path = save_turned(tmp_path / "x.png", TestOrientation.stored, 6)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    last = content.index(b"IEND") - 4
    path.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])
    assert image_size(path) == (2, 3)
    assert np.array_equal(decode_image(path), SHOWN[6](TestOrientation.stored))


WIDE = np.full((3, 4, 4), 2000, np.uint16)  # of 12-bit data: half of the range, and nearly black in 8 of 16 bits


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rgb.png", lambda path: wide_png(path, WIDE[..., :3])),
        ("rgba.png", lambda path: wide_png(path, WIDE)),
        ("la.png", lambda path: wide_png(path, WIDE[..., :2])),
        ("grey.png", lambda path: Image.fromarray(WIDE[..., 0]).save(path)),
        ("rgb.ppm", lambda path: netpbm(path, "P6", WIDE[..., :3].astype(">u2"), 65535)),
        ("twelve.ppm", lambda path: netpbm(path, "P6", WIDE[..., :3].astype(">u2"), 4095)),
        ("grey.pgm", lambda path: netpbm(path, "P5", WIDE[..., 0].astype(">u2"), 4095)),
        ("grey.jp2", lambda path: Image.fromarray(WIDE[..., 0]).save(path)),
        ("rgb.tif", lambda path: wide_tiff(path, WIDE[..., :3], 1)),
        ("grey.tif", lambda path: Image.fromarray(WIDE[..., 0]).save(path)),
        ("float.tif", lambda path: Image.fromarray(WIDE[..., 0].astype(np.float32)).save(path)),
    ],
)
def test_more_than_8_bits_a_channel_are_refused_whatever_the_format(tmp_path, name, write):
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not an image of 8 bits .*(1[26] bits|numbers).*-level"):
        decode_image(tmp_path / name)


def test_16_bits_in_three_channels_of_jpeg_2000_are_refused(tmp_path):
    path = tmp_path / "x.jp2"
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\x4f\xff\x51") + 42
    content[place : place + 9 : 3] = bytes([15, 15, 15])  # depths, less 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="16 bits"):
        decode_image(path)


def test_other_largest_values_than_255_in_8_bits_are_read(tmp_path):
    path = netpbm(tmp_path / "x.ppm", "P6", np.full((3, 4, 3), 31, np.uint8), 31)
    assert (decode_image(path) == 255).all()
    for most in (2, 10, 999):
        values = np.array([[0, 1, 2], [2, 1, 0]], np.uint8 if most < 256 else ">u2")
        assert decode_indices(netpbm(tmp_path / "x.pgm", "P5", values, most)).tolist() == values.tolist()


FRAMES = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]


@pytest.mark.parametrize("decode", [decode_image, decode_mask, image_size])
@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp"])
def test_several_pages_or_frames_are_refused(tmp_path, decode, suffix):
    path = tmp_path / f"x{suffix}"
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:])
    with pytest.raises(DataError, match=rf"x\{suffix} has 2 pages or frames.*magick 'x\{suffix}\[0\]'"):
        decode(path)


def test_overviews_are_no_further_pages(tmp_path):
    path = tmp_path / "x.tif"
    small = FRAMES[1].resize((4, 4))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    FRAMES[0].save(path, save_all=True, append_images=[small])
    assert Image.open(path).n_frames == 2
    assert (decode_image(path) == 10).all()


def test_what_a_camera_adds_to_a_photograph_is_no_further_page(tmp_path):
    path = tmp_path / "x.jpg"
    FRAMES[0].convert("RGB").save(path, "MPO", save_all=True, append_images=[FRAMES[1].convert("RGB")])
    assert Image.open(path).n_frames == 2
    assert np.abs(decode_image(path).astype(int) - 10).max() <= 2

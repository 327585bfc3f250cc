import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from contextrast.data import ADE20K, IGNORE_INDEX, CamVid, Cityscapes, CocoStuff10k
from contextrast.data.decoding import ColorMap, ValueMap, decode_image, decode_indices, decode_mask, read_colors
from contextrast.data.formats import image_size
from contextrast.data.orientation import QUARTER_TURNS
from contextrast.errors import DataError

from .conftest import save
from .loading import save_wide

# What a viewer does with a stored picture of each EXIF orientation, written down as array operations.
SHOWN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.transpose(1, 0, 2), 2),
    8: lambda stored: np.rot90(stored, 1),
}


def save_turned(path, pixels, orientation):
    """Writes a picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def save_grey_png(path, rows, bits):
    """Writes a grey PNG of 2 or 4 bits a pixel by hand, as no library here writes it."""
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
    with pytest.raises(
        DataError, match=r"damaged\.png (cannot be decoded .* truncated or no image|is compressed with losses)"
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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_with_such_a_tag_is_refused(tmp_path, suffix):
    path = save_turned(tmp_path / f"x{suffix}", np.zeros((2, 3), np.uint8), 3)
    with pytest.raises(DataError, match="a mask with the orientation tag 3"):
        decode_indices(path)


def wide_png(path, pixels):
    """Writes 16 bits a channel by hand, as pillow writes them for grey alone: LA, RGB or RGBA by the last dimension."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                     + chunk(b"IEND", b""))  # fmt: skip
    return path


def wide_tiff(path, pixels, kind):
    """Writes an uncompressed TIFF of three channels by hand; ``kind`` is its SampleFormat."""
    height, width = pixels.shape[:2]
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
              (273, 4, 1, 220), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, pixels.nbytes), (284, 3, 1, 1),
              (339, 3, 3, 206)]  # fmt: skip
    start = b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    bits, kinds = struct.pack("<3H", *[8 * pixels.itemsize] * 3), struct.pack("<3H", *[kind] * 3)
    path.write_bytes(start.ljust(200, b"\0") + bits + kinds.ljust(14, b"\0") + pixels.tobytes())
    return path


def netpbm(path, magic, pixels, most):
    path.write_bytes(f"{magic}\n{pixels.shape[1]} {pixels.shape[0]}\n{most}\n".encode() + pixels.tobytes())
    return path


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


@pytest.mark.parametrize(
    ("name", "options"),
    [("x.jpg", {}), ("x.webp", {}), ("x.tif", {"compression": "jpeg"}), ("x.jp2", {"irreversible": True})],
)
def test_masks_of_lossy_formats_are_refused(tmp_path, name, options):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / name, **options)
    with pytest.raises(DataError, match="compressed with losses"):
        decode_mask(tmp_path / name)


@pytest.mark.parametrize("suffix", [".gif", ".pgm", ".jp2", ".bmp", ".tif"])
@pytest.mark.parametrize("ids", [[0, 1, 2, 255], [0, 2], [255, 254, 0, 7]])
def test_grey_masks_of_other_formats_keep_their_values(tmp_path, suffix, ids):
    path = save(tmp_path / f"x{suffix}", np.repeat([ids], 4, axis=0))
    assert decode_mask(path)[0].tolist() == ids


class TestTransparency:
    def test_grey_masks_are_read_by_their_grey_where_they_are_opaque(self, tmp_path):
        ids = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
        Image.merge("LA", (ids, Image.new("L", (3, 1), 255))).save(tmp_path / "x.png")
        assert decode_mask(tmp_path / "x.png").tolist() == [[0, 1, 2]]

    @pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
    def test_masks_that_are_transparent_somewhere_are_refused(self, tmp_path, mode):
        path = tmp_path / "x.png"
        if mode == "P":
            image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
            image.putpalette([1, 2, 3, 4, 5, 6])
            image.save(path, transparency=0)
        else:
            pixels = np.zeros((1, 2, len(mode)), np.uint8)
            pixels[0, 0, -1] = 255
            Image.fromarray(pixels, mode).save(path)
        with pytest.raises(DataError, match=r"transparent on 50\.0% of its pixels.*-alpha off x\.png"):
            decode_mask(path) if mode == "LA" else read_colors(path)


def test_a_palette_that_draws_other_classes_is_refused(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 1]], np.uint8)).convert("P")
    image.putpalette([9, 9, 9, 5, 6, 7])
    image.save(tmp_path / "x.png")
    colors = [(9, 9, 9), (5, 6, 7)]
    assert ValueMap({0: 0, 1: 1}, "", colors)(tmp_path / "x.png").tolist() == [[0, 1, 1]]
    assert ValueMap({0: 0, 1: 1}, "", [(1, 1, 1), (2, 2, 2)])(tmp_path / "x.png").tolist() == [[0, 1, 1]]
    with pytest.raises(DataError, match=r"by its values \[0, 1\] its classes are \[0, 1\], by its colours \[1, 0\]"):
        ValueMap({0: 0, 1: 1}, "", colors[::-1])(tmp_path / "x.png")


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


@pytest.mark.parametrize(
    ("dataset", "image", "mask", "first"),
    [
        (ADE20K, "images/training/a.jpg", "annotations/training/a.png", 1),
        (CamVid, "train/a.png", "trainannot/a.png", 0),
        (Cityscapes, "leftImg8bit/train/ulm/a_leftImg8bit.png", "gtFine/train/ulm/a_gtFine_labelTrainIds.png", 0),
        (CocoStuff10k, "images/train2014/a.jpg", "annotations/train2014/a_labelTrainIds.png", 1),
    ],
)
def test_published_masks_that_were_saved_again_with_sorted_colors_are_refused(tmp_path, dataset, image, mask, first):
    colors = np.array(dataset.labels.palette, np.uint8)
    ids = np.array([[1, 5, 3, 3, 3, 1]] * 4)
    save(tmp_path / image, np.zeros((4, 6, 3)))
    drawn = Image.fromarray((ids + first).astype(np.uint8)).convert("P")
    drawn.putdata((ids + first).ravel().tolist())
    drawn.putpalette([0] * 3 * first + colors.ravel().tolist()[: 3 * (256 - first)])
    path = tmp_path / mask
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(path)
    assert dataset(tmp_path).read(0)[1].tolist() == ids.tolist()
    again = drawn.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=3)
    again.putpalette([0] * 3 * first + again.getpalette()[:9])
    again = again.point(lambda index: index + first)
    again.save(path)
    with pytest.raises(DataError, match="has a palette: by its values"):
        dataset(tmp_path).read(0)

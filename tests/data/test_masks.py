import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contextrast.data import ADE20K, IGNORE_INDEX, CamVid, Cityscapes, CocoStuff10k
from contextrast.data.decoding import decode_image
from contextrast.data.masks import ColorMap, ValueMap, decode_indices, decode_mask, read_colors
from contextrast.errors import DataError

from .conftest import save
from .loading import save_wide
from .written import save_grey_png, save_turned


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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_with_such_a_tag_is_refused(tmp_path, suffix):
    path = save_turned(tmp_path / f"x{suffix}", np.zeros((2, 3), np.uint8), 3)
    with pytest.raises(DataError, match="a mask with the orientation tag 3"):
        decode_indices(path)


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

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.data import IGNORE_INDEX, LabelTable, SampleKey, SegmentationDataset
from contextrast.data.dataset import decode_image, decode_mask
from contextrast.errors import DataError

from .conftest import Stripes, save


class Fixed(SegmentationDataset):
    """One sample that is given to it."""

    labels = LabelTable("two", ("a", "b"), ((255, 0, 0), (0, 0, 255)))

    def __init__(self, image, mask, transform=None):
        super().__init__(transform)
        self.sample = np.asarray(image, np.uint8), np.asarray(mask, np.uint8)

    def __len__(self):
        return 1

    def name(self, index):
        return "fixed"

    def source(self, index):
        return "some/image.png"

    def mask_source(self, index):
        return "some/mask.png"

    def read(self, index):
        return self.sample


def test_sample_has_the_promised_types():
    image = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    sample = Fixed(image, [[0, 1, 255], [1, 1, 0]])[0]
    assert sample["image"].dtype == torch.uint8
    assert torch.equal(sample["image"], torch.tensor(image, dtype=torch.uint8).permute(2, 0, 1))
    assert sample["mask"].dtype == torch.int64
    assert sample["mask"].tolist() == [[0, 1, 255], [1, 1, 0]]
    assert sample["name"] == "fixed"


def test_iteration_ends():
    assert [sample["name"] for sample in Stripes(length=3)] == ["train0", "train1", "train2"]


def test_transform_gets_the_key():
    keys = []

    def record(image, mask, key):
        keys.append(key)
        return image, mask

    dataset = Fixed(np.zeros((2, 3, 3)), np.zeros((2, 3)), record)
    dataset[0]
    dataset[SampleKey(7, 0)]
    assert keys == [SampleKey(0, 0), SampleKey(7, 0)]


def test_different_sizes_name_both_files():
    with pytest.raises(DataError) as caught:
        Fixed(np.zeros((2, 3, 3)), np.zeros((4, 5)))[0]
    assert "some/image.png is 3x2 (width x height), some/mask.png is 5x4" in str(caught.value)


@pytest.mark.parametrize(("bad", "named"), [([2], "2"), ([254], "254"), ([7, 2, 7, 200], "2, 7, 200")])
def test_unknown_values_are_named_with_their_file(bad, named):
    mask = np.zeros((2, 3), np.uint8)
    mask.flat[: len(bad)] = bad
    mask[1, 2] = IGNORE_INDEX
    with pytest.raises(DataError) as caught:
        Fixed(np.zeros((2, 3, 3)), mask)[0]
    message = str(caught.value)
    assert message.startswith(f"some/mask.png has the value(s) {named}, which are neither a class of two (0..1)")
    assert str(IGNORE_INDEX) in message


def test_all_ignored_and_all_classes_pass():
    assert (Fixed(np.zeros((1, 3, 3)), [[255, 255, 255]])[0]["mask"] == 255).all()
    assert Fixed(np.zeros((1, 3, 3)), [[0, 1, 255]])[0]["mask"].tolist() == [[0, 1, 255]]


def test_plot_shows_image_and_colored_mask():
    picture = Fixed(np.full((1, 2, 3), 9), [[1, 255]]).plot(0)
    assert picture.tolist() == [[[9, 9, 9], [9, 9, 9], [0, 0, 255], [0, 0, 0]]]


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


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        decode_image(tmp_path / "gone.png")


def test_datasets_reach_spawned_workers():
    copy = pickle.loads(pickle.dumps(Stripes()))
    assert torch.equal(copy[3]["image"], Stripes()[3]["image"])

"""Pictures as files: never large, and what they were."""

import numpy as np
import pytest
from PIL import Image

from contextrast.data import Streets
from contextrast.reporting.figures import EDGE_COLOR, confusion_figure
from contextrast.reporting.picture_files import LARGEST, ids_within, within, write_chart, write_photo


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_photo_stays_what_it_is_with_marks_of_one_pixel(tmp_path):
    picture = Streets("val", size=(256, 320)).read(0)[0].copy()
    picture[100] = EDGE_COLOR
    write_photo(tmp_path / "a.jpg", picture)
    again = read(tmp_path / "a.jpg")
    assert np.abs(again - picture).mean() < 5
    assert np.abs(again[100] - EDGE_COLOR).mean() < 20, "colours are not averaged with the rows beside"


@pytest.mark.parametrize(("write", "name"), [(write_photo, "a.jpg"), (write_chart, "a.png")])
def test_no_file_is_large(write, name, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1100, 3), np.uint8)
    write(tmp_path / name, noise)
    assert (tmp_path / name).stat().st_size <= LARGEST
    height, width, _ = read(tmp_path / name).shape
    assert 200 < height < 900, "noise fits in no quality"
    assert width == pytest.approx(height * 1100 / 900, abs=2)


def test_the_matrix_of_many_classes_keeps_its_size(tmp_path):
    counts = np.random.default_rng(0).integers(0, 1000, (30, 30)) + 20000 * np.eye(30, dtype=int)
    picture = confusion_figure(counts, [f"class {number}" for number in range(30)])
    write_chart(tmp_path / "a.png", picture)
    again = read(tmp_path / "a.png")
    assert again.shape == picture.shape
    assert np.abs(again - picture).mean() < 2


def test_ids_are_scaled_down_with_their_picture_and_stay_ids():
    ids = np.random.default_rng(0).choice([0, 7, 255], (60, 101)).astype(np.uint8)
    picture = np.repeat(ids[..., None], 3, axis=2)
    assert within(picture, 50).shape[:2] == ids_within(ids, 50).shape
    assert max(ids_within(ids, 50).shape) == 50
    assert set(np.unique(ids_within(ids, 50))) == {0, 7, 255}
    assert np.array_equal(ids_within(ids, 101), ids)
    assert np.array_equal(within(picture, 200), picture)

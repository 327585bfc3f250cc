"""Pictures after validation: which images, what is drawn, and what stays untouched."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from contextrast.callbacks import MetricTables, PredictionPictures
from contextrast.callbacks.pictures import boundary_picture, sampling_of, spread
from contextrast.contrast import BoundaryAwareNegatives
from contextrast.reporting import figures


@given(st.integers(0, 60), st.integers(1, 9))
def test_indices_are_spread_and_distinct(length, count) -> None:
    indices = spread(length, count)
    assert len(indices) == min(length, count)
    assert indices == sorted(set(indices))
    assert all(0 <= index < length for index in indices)


def test_four_of_a_hundred() -> None:
    assert spread(100, 4) == [12, 37, 62, 87]


def test_a_sheet_after_every_validation_and_none_of_the_sanity_check(module, data, trainer_for, tmp_path) -> None:
    trainer_for([PredictionPictures(tmp_path, 2), MetricTables(tmp_path)]).fit(module, data)
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == [
        "confusion_val.png",
        "step_000003.jpg",
        "step_000006.jpg",
    ]
    sheet = np.asarray(Image.open(tmp_path / "step_000006.jpg"))
    image, _ = data.dataset("val").read(2)
    assert sheet.shape[1] >= 4 * 30
    windows = np.lib.stride_tricks.sliding_window_view(sheet, image.shape).reshape(-1, *image.shape)
    apart = np.abs(windows.astype(np.int16) - image).mean(axis=(1, 2, 3))
    assert apart.min() < 4, "the image itself is in the sheet"
    assert np.median(apart) > 50


def test_layers_of_the_last_validation_alone_are_kept(module, data, trainer_for, tmp_path) -> None:
    trainer_for([PredictionPictures(tmp_path, 2)]).fit(module, data)
    index = json.loads((tmp_path / "layers" / "layers.json").read_text())
    assert (index["step"], index["names"]) == (6, ["block_2", "block_6"])
    kinds = ("image.jpg", "truth.png", "prediction.png", "errors.png", "negatives.png")
    expected = {"layers.json", *(f"{place}_{kind}" for place in (0, 1) for kind in kinds)}
    assert {file.name for file in (tmp_path / "layers").iterdir()} == expected
    _, mask = data.dataset("val").read(2)
    with Image.open(tmp_path / "layers" / "0_truth.png") as truth:
        assert np.array_equal(np.asarray(truth), np.where(mask == 255, 0, mask + 1))


def test_drawing_changes_nothing_in_the_network(module, data, trainer_for, tmp_path) -> None:
    trainer = trainer_for([PredictionPictures(tmp_path, 3)])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer.validate(module, data, verbose=False)
    assert list(tmp_path.glob("step_*.jpg"))
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_tables_report_the_test_split_too(module, data, trainer_for, tmp_path) -> None:
    trainer_for([MetricTables(tmp_path)]).test(module, data, verbose=False)
    assert (tmp_path / "confusion_test.png").is_file()


def test_the_settings_of_the_loss_are_used(module) -> None:
    assert sampling_of(module.loss) is module.loss["negatives"]
    assert sampling_of(nn.Identity()).percentage == BoundaryAwareNegatives().percentage


@pytest.mark.parametrize("percentage", [0, 100])
def test_the_boundary_picture_of_a_square_error(percentage) -> None:
    """A 5 x 5 block of class 0 is mistaken for class 1: 16 edge pixels, and 8 + 1 inside."""
    target = np.zeros((9, 9), dtype=np.int64)
    target[:, 8] = 1  # class 1 has an anchor
    target[0, :8] = 255
    prediction = target.copy()
    prediction[0] = 1  # wrong only where the label is ignored
    prediction[2:7, 2:7] = 1
    negatives = BoundaryAwareNegatives(percentage)
    picture = boundary_picture(np.zeros((9, 9, 3), dtype=np.uint8), target, prediction, 2, negatives)

    def drawn(color) -> np.ndarray:
        return (picture == color).all(axis=2)

    block = np.zeros((9, 9), dtype=bool)
    block[2:7, 2:7] = True
    inside = np.zeros((9, 9), dtype=bool)
    inside[3:6, 3:6] = True
    assert np.array_equal(drawn(figures.EDGE_COLOR), block & ~inside)
    assert np.array_equal(drawn(figures.NEGATIVE_COLOR), inside & (percentage == 100))
    assert np.array_equal(drawn(figures.ERROR_COLOR), inside & (percentage == 0))

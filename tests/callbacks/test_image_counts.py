"""Counts of single images: their sum is the split's, in one process and in two, and the file brings them back."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from contextrast.callbacks import ImageCountsFile
from contextrast.errors import ConfigError
from contextrast.metrics import BandMeanIoU
from contextrast.metrics.counts import confusion_counts, image_confusion_counts
from contextrast.runs.image_counts import ImageCounts, read_image_counts, write_image_counts
from tests.callbacks.known_images import CLASSES, NUMBER, Known, images


def counted(folder: Path, batch_size: int = 2):
    seen = images()
    batches = [
        {"mask": seen.target[place : place + batch_size], "prediction": seen.prediction[place : place + batch_size],
         "name": seen.names[place : place + batch_size]}
        for place in range(0, len(seen.names), batch_size)
    ]  # fmt: skip
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        callbacks=[ImageCountsFile(folder)],
    )  # fmt: skip
    trainer.test(Known(), torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    return read_image_counts(folder / "images_single_scale.npz")


def slow(prediction, target):
    """A matrix by a loop over pixels."""
    matrix = np.zeros((NUMBER, NUMBER + 1), dtype=int)
    for predicted, labelled in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True):
        if labelled < NUMBER:
            matrix[labelled, predicted if 0 <= predicted < NUMBER else NUMBER] += 1
    return matrix


def test_every_image_has_the_matrix_of_a_loop_over_its_pixels():
    seen = images()
    found = image_confusion_counts(seen.prediction, seen.target, NUMBER)
    for matrix, prediction, target in zip(found, seen.prediction, seen.target, strict=True):
        np.testing.assert_array_equal(matrix.numpy(), slow(prediction, target))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_file_sums_to_the_splits_matrix_and_to_that_of_its_band(tmp_path, batch_size):
    seen, found = images(), counted(tmp_path, batch_size)
    assert found.names == tuple(seen.names)
    assert found.classes == CLASSES
    np.testing.assert_array_equal(
        found.confusion(found.whole), confusion_counts(seen.prediction, seen.target, NUMBER).numpy()
    )
    band = BandMeanIoU(NUMBER, [found.threshold])
    band.update(seen.prediction, seen.target)
    np.testing.assert_array_equal(found.confusion(found.band), band.counts[0].numpy())
    assert 0 < found.band[:, 3].sum() < found.whole[:, 3].sum()


def test_pixels_of_classes_are_those_of_the_matrices(tmp_path):
    seen, found = images(), counted(tmp_path)
    for pixels, prediction, target in zip(found.class_pixels(found.whole), seen.prediction, seen.target, strict=True):
        matrix = slow(prediction, target)
        np.testing.assert_array_equal(pixels[0], matrix.diagonal())
        np.testing.assert_array_equal(pixels[1], matrix.sum(1))
        np.testing.assert_array_equal(pixels[2], matrix.sum(0)[:-1])


def test_the_file_of_a_split_is_small(tmp_path):
    """400 images of 11 classes, each with most of its pixels in a few cells, as real ones have."""
    draw = np.random.default_rng(0)
    rows = [
        [image, labelled, predicted, int(draw.integers(1, 5000))]
        for image in range(400)
        for labelled in range(11)
        for predicted in np.unique([labelled, *draw.integers(0, 11, 4)]).tolist()
    ]
    counts = read(tmp_path, np.array(rows))
    assert (tmp_path / "images_x.npz").stat().st_size < 80_000
    np.testing.assert_array_equal(counts.whole, rows)


def read(folder, rows):
    names, classes = [str(place) for place in range(400)], [str(place) for place in range(11)]
    write_image_counts(folder / "images_x.npz", ImageCounts(names, classes, rows, rows[:0], 3))
    return read_image_counts(folder / "images_x.npz")


@pytest.mark.parametrize("damage", ["cut", "foreign", "beyond", "negative", "objects", "missing"])
def test_other_files_are_refused_by_name(tmp_path, damage):
    path = tmp_path / "images_x.npz"
    good = {"names": np.array(["a"]), "classes": np.array(["x", "y"]), "threshold": np.float64(3)}
    columns = np.array([[0], [0], [1], [5]])
    good |= {"whole": columns, "band": columns}
    np.savez_compressed(path, **good)
    assert read_image_counts(path).whole.tolist() == [[0, 0, 1, 5]]
    changed = {
        "foreign": {"a": np.zeros(3)},
        "beyond": good | {"whole": np.array([[1], [0], [1], [5]])},
        "negative": good | {"band": np.array([[0], [0], [1], [-5]])},
        "objects": good | {"names": np.array([None], dtype=object)},
    }
    if damage in changed:
        np.savez_compressed(path, **changed[damage])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.unlink()
    with pytest.raises(ConfigError, match=r"images_x\.npz"):
        read_image_counts(path)


def test_a_band_without_pixels_is_refused():
    with pytest.raises(ConfigError, match="threshold"):
        ImageCountsFile("x", threshold=0)

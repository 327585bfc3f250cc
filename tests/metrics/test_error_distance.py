"""Cosines of error pixels by their distance to the error boundary, against scipy and loops over pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contextrast.metrics.error_distance import ClassMeans, ErrorCosine

CLASSES, CHANNELS, BINS = 3, 4, 3
IGNORED = 255


def drawn(seed, height=9, width=11, images=2):
    """Features on a grid, and labels and predictions of coarse patches at twice its size, some of them ignored."""
    generator = torch.Generator().manual_seed(seed)

    def patches(values):
        coarse = torch.tensor(values)[torch.randint(len(values), (images, height, width), generator=generator)]
        return coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, : 2 * height, : 2 * width]

    features = torch.randn(images, CHANNELS, height, width, generator=generator)
    return features, patches([0, 1, 2, 2]), patches([0, 1, 1, 2, IGNORED])


def on_grid(ids):
    """Labels at half their size: the pixel below and right of a cell's centre."""
    return ids[:, 1::2, 1::2]


def slow_means(features, target):
    means = np.zeros((CLASSES, CHANNELS))
    counts = [0] * CLASSES
    for image, row, column in np.ndindex(*on_grid(target).shape):
        train_id = int(on_grid(target)[image, row, column])
        if train_id != IGNORED:
            means[train_id] += features[image, :, row, column].double().numpy()
            counts[train_id] += 1
    return means / np.maximum(counts, 1)[:, None], counts


def edge_pixels(region):
    """Pixels of a region with a 4-neighbour inside the image that is not of the region."""
    edges = np.zeros_like(region)
    for row, column in np.argwhere(region):
        for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= y < region.shape[0] and 0 <= x < region.shape[1]:
                edges[row, column] |= not region[y, x]
    return edges


def slow_curve(features, prediction, target, anchors, centre):
    """Class-wise error maps, a distance transform each, and cosines one by one."""
    errors, correct, boundless = [[] for _ in range(BINS)], [], 0
    target, prediction = on_grid(target).numpy(), on_grid(prediction).numpy()
    for image in range(len(target)):
        for train_id in range(CLASSES):
            region = (target[image] == train_id) & (prediction[image] != train_id)
            edges = edge_pixels(region)
            distance = ndimage.distance_transform_edt(~edges)
            for row, column in np.argwhere(target[image] == train_id):
                vector = features[image, :, row, column].double().numpy() - centre
                anchor = anchors[train_id] - centre
                cosine = vector @ anchor / (np.linalg.norm(vector) * np.linalg.norm(anchor))
                if not region[row, column]:
                    correct.append(cosine)
                elif edges.any():
                    errors[min(math.floor(distance[row, column]), BINS - 1)].append(cosine)
                else:
                    boundless += 1
    return errors, correct, boundless


def mean(values):
    return sum(values) / len(values) if values else math.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_curve_is_that_of_class_wise_maps(seed, centred) -> None:
    features, prediction, target = drawn(seed)
    means = ClassMeans(CLASSES, CHANNELS)
    means.update(features, target)
    anchors, counts = slow_means(features, target)
    found = means.compute()
    np.testing.assert_allclose(found.vectors.numpy(), anchors, atol=1e-12)
    assert found.pixels.tolist() == counts
    centre = anchors[np.array(counts) > 0].mean(0) if centred else np.zeros(CHANNELS)
    measure = ErrorCosine(found.vectors, found.centre() if centred else torch.zeros(CHANNELS), bins=BINS)
    measure.update(features, prediction, target)
    curve = measure.compute()
    errors, correct, boundless = slow_curve(features, prediction, target, anchors, centre)
    assert curve.pixels.tolist() == [len(values) for values in errors]
    assert curve.cosine.tolist() == pytest.approx([mean(values) for values in errors], abs=1e-6, nan_ok=True)
    assert curve.correct_cosine.item() == pytest.approx(mean(correct), abs=1e-6, nan_ok=True)
    assert [int(curve.correct_pixels), int(curve.boundless)] == [len(correct), boundless]


def test_the_random_maps_have_errors_at_all_distances() -> None:
    sizes = np.array([[len(values) for values in slow_curve(*drawn(seed), np.ones((3, 4)), np.zeros(4))[0]]
                      for seed in range(5)])  # fmt: skip
    assert (sizes.sum(0) > 0).all()


def test_a_worked_example() -> None:
    """A missed 5 x 5 square of class 1: 16 pixels at its edge, 8 inside of them, 1 in the middle."""
    target = torch.zeros(1, 9, 9, dtype=torch.long)
    target[0, 2:7, 2:7] = 1
    prediction = torch.zeros_like(target)
    features = torch.zeros(1, 2, 9, 9)
    features[:, 0] = 1.0  # along anchor 0
    features[0, :, 3:6, 3:6] = torch.tensor([0.6, 0.8])[:, None, None]
    features[0, :, 4, 4] = torch.tensor([0.0, -2.0])
    measure = ErrorCosine(torch.tensor([[3.0, 0.0], [0.0, 5.0]]), torch.zeros(2), bins=4)
    measure.update(features, prediction, target)
    curve = measure.compute()
    assert curve.pixels.tolist() == [16, 8, 1, 0]
    assert curve.cosine.tolist() == pytest.approx([0.0, 0.8, -1.0, math.nan], nan_ok=True)
    assert curve.correct_cosine.item() == pytest.approx(1.0)
    assert [int(curve.correct_pixels), int(curve.boundless)] == [81 - 25, 0]


def test_a_region_that_fills_its_image_has_no_boundary() -> None:
    measure = ErrorCosine(torch.eye(2), torch.zeros(2))
    target = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)]).long()
    measure.update(torch.ones(2, 2, 3, 4), torch.ones_like(target), target)
    curve = measure.compute()
    assert int(curve.boundless) == 12
    assert curve.pixels.sum() == 0
    assert curve.correct_cosine.item() == pytest.approx(math.sqrt(0.5))


def test_the_centre_counts_every_class_alike() -> None:
    """What all pixels share is taken off, however unequal the classes are."""
    measure = ClassMeans(3, 2)
    target = torch.tensor([[[0] * 9 + [1]]])
    own = torch.where(target == 0, 1.0, -1.0)
    measure.update(torch.stack([own, torch.full_like(own, 100.0)], dim=1), target)
    assert measure.compute().centre().tolist() == [0.0, 100.0]


@pytest.mark.parametrize("kind", ["means", "cosine"])
def test_shares_of_the_images_add_up(kind) -> None:
    features, prediction, target = drawn(3, images=5)
    anchors = torch.randn(CLASSES, CHANNELS, generator=torch.Generator().manual_seed(0))

    def measured(*shares):
        parts = []
        for share in shares:
            measure = ClassMeans(CLASSES, CHANNELS) if kind == "means" else ErrorCosine(anchors, anchors.mean(0))
            for image in share:
                own = slice(image, image + 1)
                given = (
                    (features[own], target[own]) if kind == "means" else (features[own], prediction[own], target[own])
                )
                measure.update(*given)
            parts.append(measure)
        for other in parts[1:]:
            parts[0].merge_state(other)
        return parts[0].compute()

    for one, other in zip(measured(range(5)), measured([4, 1], [0], [2, 3]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_reset_forgets_and_nothing_enters_a_checkpoint() -> None:
    features, prediction, target = drawn(1)
    measure = ErrorCosine(torch.randn(CLASSES, CHANNELS), torch.zeros(CHANNELS))
    measure.update(features, prediction, target)
    first = measure.compute()
    assert measure.state_dict() == {}
    measure.reset()
    measure.update(features, prediction, target)
    for one, other in zip(first, measure.compute(), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def test_nothing_is_read_on_the_host() -> None:
    """Tensors of the meta device have no values, so every read of one would raise."""
    features, prediction, target = (one.to("meta") for one in drawn(0))
    means = ClassMeans(CLASSES, CHANNELS).to("meta")
    means.update(features, target)
    found = means.compute()
    measure = ErrorCosine(found.vectors, found.centre()).to("meta")
    measure.update(features, prediction, target)
    measure.compute()

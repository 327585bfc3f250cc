"""The bootstrap over images is scipy's, pairs the same images, and keeps out what cannot be paired."""

import numpy as np
import pytest
from scipy import stats

from contextrast.reporting import bootstrap
from contextrast.reporting.bootstrap import image_interval, resampled
from contextrast.reporting.measures import co_primary
from contextrast.runs.image_counts import ImageCounts

CLASSES = ("Sky", "Pole")
IMAGES = 60


def counts(seed, better=0.0, order=None):
    """Images of two classes, whose difficulty is the same for all runs."""
    difficulty, draw = np.random.default_rng(99), np.random.default_rng(seed)
    right = np.clip(difficulty.uniform(0.2, 0.9, (IMAGES, 2)) + better + draw.normal(0, 0.02, (IMAGES, 2)), 0, 1)
    names = [f"image {place}" for place in range(IMAGES)]
    rows = []
    for position, image in enumerate(order if order is not None else range(IMAGES)):
        for labelled in range(2):
            found = int(1000 * right[image, labelled])
            rows += [[position, labelled, labelled, found], [position, labelled, 1 - labelled, 1000 - found]]
    shown = [names[image] for image in (order if order is not None else range(IMAGES))]
    return ImageCounts(shown, CLASSES, np.array(rows), np.array(rows), 3)


def measured(*runs):
    return {seed: resampled(run, co_primary(["Pole"])) for seed, run in enumerate(runs)}


def miou(pixels):
    found, labelled, predicted = pixels.sum(0)
    return (found / (labelled + predicted - found)).mean()


def test_the_interval_is_scipys_bootstrap_of_the_same_statistic():
    one, other = counts(0), counts(1, better=0.05)
    first, second = one.class_pixels(one.whole), other.class_pixels(other.whole)
    expected = stats.bootstrap(
        (np.arange(IMAGES),), lambda places: miou(second[places]) - miou(first[places]), n_resamples=4000,
        vectorized=False, method="percentile", rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    found = image_interval(measured(other), measured(one), "miou")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.0012)
    assert 0 < found.low < miou(second) - miou(first) < found.high


def test_the_same_images_are_drawn_for_both_rows_and_all_seeds():
    """Images differ far more than the two rows do: without pairs the interval would be many times as wide."""
    paired = image_interval(measured(counts(1, 0.05)), measured(counts(0)), "miou")
    assert paired.high - paired.low < 0.02
    alone = measured(counts(0))[0].scores["miou"]
    assert np.quantile(alone, 0.975) - np.quantile(alone, 0.025) > 0.05
    several = image_interval(measured(counts(1, 0.05), counts(3, 0.05)), measured(counts(0), counts(2)), "miou")
    assert 0.02 < several.low < several.high < 0.12


def test_the_order_of_images_does_not_matter():
    straight, back = measured(counts(1)), measured(counts(1, order=list(reversed(range(IMAGES)))))
    base = measured(counts(0))
    assert image_interval(straight, base, "b_miou") == image_interval(back, base, "b_miou")
    assert image_interval(straight, straight, "thin").high == 0


def test_the_draws_are_the_same_in_every_process():
    first = measured(counts(0))[0].scores["miou"]
    bootstrap._weights.cache_clear()
    np.testing.assert_array_equal(measured(counts(0))[0].scores["miou"], first)


def test_other_images_other_seeds_and_other_measures_have_no_interval():
    run = counts(0)
    renamed = ImageCounts([f"other {name}" for name in run.names], CLASSES, run.whole, run.band, 3)
    assert image_interval(measured(renamed), measured(run), "miou") is None
    assert image_interval({1: measured(run)[0]}, measured(run), "miou") is None
    assert image_interval(measured(run), measured(run), "iou.Pole") is None

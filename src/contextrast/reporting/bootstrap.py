"""How much a difference depends on which images are in the split: a paired bootstrap over images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.reporting.measures import Floats, Measure
from contextrast.runs.image_counts import Counts, ImageCounts

RESAMPLES: Final = 2000
_SEED: Final = 0


@dataclass(frozen=True)
class Interval:
    """A range of values."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """A run's scores on resampled images.

    Attributes:
        names: Of the images, sorted; runs of the same names were measured on the same images.
        scores: By the measure's key, ``[resamples]``.
    """

    names: tuple[str, ...]
    scores: Mapping[str, Floats]


def resampled(counts: ImageCounts, measures: Sequence[Measure]) -> Resampled:
    """Scores of a run on as many images as there are, drawn from them with replacement, again and again.

    The draws are the same for all runs on the same images, so that differences of runs are paired.

    Args:
        counts: The run's counts of images.
        measures: What is looked at; those that counts of images do not give are left out.
    """
    order = np.argsort(counts.names, kind="stable")
    weights = _weights(len(order))

    def drawn(rows: Counts) -> Floats:
        pixels = counts.class_pixels(rows)[order].astype(np.float64)
        summed: Floats = weights @ pixels.reshape(len(order), -1)
        return summed.reshape(RESAMPLES, *pixels.shape[1:])

    whole, band = drawn(counts.whole), drawn(counts.band)
    scores = {measure.key: measure.of_images(whole, band, counts.classes) for measure in measures}
    known = {key: values for key, values in scores.items() if values is not None}
    return Resampled(tuple(sorted(counts.names)), known)


def image_interval(row: Mapping[int, Resampled], baseline: Mapping[int, Resampled], key: str) -> Interval | None:
    """Where the difference of two settings lies on other images of the same kind, for 95 % of the resamples.

    The networks stay as they are.

    Args:
        row: A setting's runs by seed.
        baseline: Its baseline's.
        key: The measure.

    Returns:
        None where they share no seed whose runs were measured on the same images, or the measure is not known.
    """
    pairs = [
        (run.scores[key], baseline[seed].scores[key])
        for seed, run in row.items()
        if seed in baseline and run.names == baseline[seed].names and key in run.scores and key in baseline[seed].scores
    ]
    if not pairs:
        return None
    differences = np.mean([one - other for one, other in pairs], axis=0)
    low, high = np.nanquantile(differences, [0.025, 0.975])  # the middle 95 %
    return Interval(float(low), float(high))


@lru_cache(maxsize=4)
def _weights(images: int) -> NDArray[np.float64]:
    """How often each image is drawn, ``[resamples, images]``."""
    draws = np.random.default_rng(_SEED).integers(images, size=(RESAMPLES, images))
    return np.stack([np.bincount(draw, minlength=images) for draw in draws]).astype(np.float64)

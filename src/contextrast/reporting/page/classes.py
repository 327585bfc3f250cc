"""Classes of a comparison: their IoU against the baseline's, and their confusions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contextrast.reporting.comparison import Comparison
from contextrast.reporting.estimates import paired_difference, spread
from contextrast.reporting.rows import Row
from contextrast.reporting.tables import without_nan
from contextrast.runs.records import Run, value_of

_MATRIX: Final = 40  # classes; the cells of more could not be read, and their numbers would make the page large
_LARGEST: Final = 10


def class_scores(comparison: Comparison) -> dict[str, Any]:
    """What the page's script draws of the classes, as plain containers.

    Returns:
        ``classes``; ``settings``, one per row, with ``label``, ``baseline`` (place of the row it is compared with),
        ``iou`` (means over seeds) and ``difference`` (mean, low and high, paired by seed, each class by itself),
        fractions by class or None, ``confusion``, shares of a class's labelled pixels in percent (None of more than 40
        classes), and ``largest``, its largest cells beside the diagonal (labelled class, predicted class, share). With
        a baseline these are differences to its shares on shared seeds.
    """
    rows = comparison.rows
    classes = list(dict.fromkeys(name for row in rows for run in row.runs for name in _iou(run)))
    places = {row.label: place for place, row in enumerate(rows)}
    settings = []
    for row in rows:
        place = None if row.baseline is None else places[row.baseline]
        baseline = None if place is None else rows[place]
        scores = _scores(row, baseline, classes) | _confusions(row, baseline, classes)
        settings.append({"label": row.label, "baseline": place, **scores})
    return {"classes": classes, "settings": settings}


def _scores(row: Row, baseline: Row | None, classes: Sequence[str]) -> dict[str, Any]:
    means, differences = [], []
    for name in classes:
        values = _by_seed(row, name)
        mean = spread(list(values.values()))
        means.append(mean and mean.mean)
        difference = paired_difference(values, _by_seed(baseline, name)) if baseline else None
        differences.append(difference and [difference.mean, difference.low, difference.high])
    return {"iou": means, "difference": differences}


def _confusions(row: Row, baseline: Row | None, classes: Sequence[str]) -> dict[str, Any]:
    """A row's confusions; of a row with a baseline their difference to the baseline's, on shared seeds."""
    matrices = _shares_by_seed(row, classes)
    if baseline is not None:
        others = _shares_by_seed(baseline, classes)
        matrices = {seed: shares - others[seed] for seed, shares in matrices.items() if seed in others}
    if not matrices:
        return {"confusion": None, "largest": None}
    mean = (100 * np.mean(list(matrices.values()), axis=0)).round(2)
    sizes = np.where(np.isfinite(mean), np.abs(mean), 0)
    np.fill_diagonal(sizes, 0)
    cells = [divmod(int(cell), len(classes)) for cell in np.argsort(-sizes, axis=None, kind="stable")[:_LARGEST]]
    return {
        "confusion": without_nan(mean.tolist()) if len(classes) <= _MATRIX else None,
        "largest": [[*cell, float(mean[cell])] for cell in cells if sizes[cell] > 0],
    }


def _shares_by_seed(row: Row, classes: Sequence[str]) -> dict[int, NDArray[np.float64]]:
    return {run.seed: shares for run in row.runs if (shares := _shares(run, classes)) is not None}


def _shares(run: Run, classes: Sequence[str]) -> NDArray[np.float64] | None:
    """Shares of each class's labelled pixels ``[N, N]``, NaN for a class without one; None where it is not recorded."""
    counts = value_of(run.metrics, "confusion")
    if not isinstance(counts, list) or list(_iou(run)) != list(classes):
        return None
    try:
        confusion = np.array(counts, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths, or no numbers
        return None
    if confusion.shape != (len(classes), len(classes)):
        return None
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.full(confusion.shape, np.nan)
    np.divide(confusion, totals, out=shares, where=(totals > 0) & np.isfinite(totals))
    return shares


def _by_seed(row: Row, name: str) -> dict[int, float]:
    values = ((run.seed, _iou(run).get(name)) for run in row.runs)
    return {seed: float(value) for seed, value in values if isinstance(value, int | float) and math.isfinite(value)}


def _iou(run: Run) -> Mapping[str, Any]:
    iou = value_of(run.metrics, "iou")
    return iou if isinstance(iou, Mapping) else {}

"""Scores as people and programs read them: a table on the terminal, and plain containers for files."""

import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from torch import Tensor

from contextrast.metrics import Scores

ABSENT = "–"
"""What stands in a table for a class that occurs neither in the labels nor in the predictions."""


def percent(value: float) -> str:
    """A fraction in percent with two decimals, or a dash where it is NaN.

    Args:
        value: A fraction in [0, 1], or NaN.

    Returns:
        For example ``"61.25"`` or ``"–"``.
    """
    return ABSENT if math.isnan(value) else f"{100 * value:.2f}"


def per_class_table(scores: Scores, classes: Sequence[str], title: str = "") -> Table:
    """Per-class IoU and accuracy for the terminal, in percent, with the means below.

    Args:
        scores: Scores of a split.
        classes: Class names in the order of their train ids.
        title: Heading of the table.

    Returns:
        A table for ``rich.print``; classes that are absent show a dash.

    Raises:
        ValueError: If there is not one name a class.
    """
    _check_names(scores, classes)
    table = Table(title=title or None, title_justify="left")
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    table.add_column("accuracy %", justify="right")
    table.add_column("pixels %", justify="right", style="dim")
    labelled = scores.confusion.sum(1) + scores.missed
    shares = labelled.double() / labelled.sum()
    for name, iou, accuracy, share in zip(classes, scores.iou, scores.accuracy, shares, strict=True):
        table.add_row(name, percent(iou.item()), percent(accuracy.item()), percent(share.item()))
    table.add_section()
    table.add_row("mean", percent(scores.miou.item()), percent(scores.mean_accuracy.item()), style="bold")
    table.add_row("all pixels", "", percent(scores.pixel_accuracy.item()))
    return table


def scores_to_dict(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """Scores as plain containers, ready for ``json.dump``.

    Args:
        scores: Scores of a split.
        classes: Class names in the order of their train ids.

    Returns:
        Fractions ``miou``, ``pixel_accuracy`` and ``mean_accuracy``; ``iou`` and ``accuracy`` by class name; the
        ``confusion`` matrix as rows of counts. What is NaN in the scores is None, as JSON has no NaN.

    Raises:
        ValueError: If there is not one name a class.
    """
    _check_names(scores, classes)
    return {
        "miou": _number(scores.miou),
        "pixel_accuracy": _number(scores.pixel_accuracy),
        "mean_accuracy": _number(scores.mean_accuracy),
        "iou": {name: _number(value) for name, value in zip(classes, scores.iou, strict=True)},
        "accuracy": {name: _number(value) for name, value in zip(classes, scores.accuracy, strict=True)},
        "confusion": scores.confusion.tolist(),
    }


def _number(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _check_names(scores: Scores, classes: Sequence[str]) -> None:
    if len(classes) != len(scores.iou):
        raise ValueError(f"{len(classes)} class names for scores of {len(scores.iou)} classes")

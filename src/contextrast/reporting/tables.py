"""Scores as people and programs read them: a table on the terminal, and plain containers for files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from contextrast.terminal import Table

if TYPE_CHECKING:  # importing them takes seconds, which a report without networks can do without
    from contextrast.metrics import Report, Scores

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


def per_class_table(
    scores: "Scores", classes: Sequence[str], title: str = "", reports: "Iterable[Report]" = ()
) -> Table:
    """Per-class IoU and accuracy for the terminal, in percent, with the means below.

    Args:
        scores: "Scores" of a split.
        classes: Class names in the order of their train ids.
        title: Heading of the table.
        reports: What further measures found; their values of classes become columns.

    Returns:
        A table for ``rich.print``; classes that are absent show a dash.

    Raises:
        ValueError: If there is not one name per class.
    """
    _check_names(scores, classes)
    table = Table(title)
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    table.add_column("accuracy %", justify="right")
    table.add_column("pixels %", justify="right", style="dim")
    further = {name: values for report in reports for name, values in report.per_class.items()}
    for name in further:
        table.add_column(f"{name} %", justify="right")
    labelled = scores.confusion.sum(1) + scores.missed
    shares = labelled.double() / labelled.sum()
    columns = (scores.iou.tolist(), scores.accuracy.tolist(), shares.tolist(), *further.values())
    for name, *values in zip(classes, *columns, strict=True):
        table.add_row(name, *map(percent, values))
    table.add_section()
    means = [torch.tensor(values, dtype=torch.double).nanmean().item() for values in further.values()]
    plain = (scores.miou.item(), scores.mean_accuracy.item())
    table.add_row("mean", *map(percent, plain), "", *map(percent, means), style="bold")
    table.add_row("all pixels", "", percent(scores.pixel_accuracy.item()))
    return table


def group_table(report: "Report", title: str = "") -> Table:
    """What a measure found that is not by class, for the terminal.

    Args:
        report: A report with groups.
        title: Heading of the table.

    Returns:
        A table for ``rich.print``: fractions in percent, other numbers with four decimals, counts as they are.
    """
    table = Table(title)
    table.add_column("")
    for name in next(iter(report.groups.values())):
        table.add_column(name, justify="right")
    for row, values in report.groups.items():
        table.add_row(row, *(_cell(value, report.fractions) for value in values.values()))
    return table


def scores_to_dict(scores: "Scores", classes: Sequence[str]) -> dict[str, Any]:
    """Scores as plain containers, ready for ``json.dump``.

    Args:
        scores: "Scores" of a split.
        classes: Class names in the order of their train ids.

    Returns:
        Fractions ``miou``, ``pixel_accuracy`` and ``mean_accuracy``; ``iou`` and ``accuracy`` by class name; the
        ``confusion`` matrix as rows of counts. What is NaN in the scores is None, as JSON has no NaN.

    Raises:
        ValueError: If there is not one name per class.
    """
    _check_names(scores, classes)
    return {
        "miou": without_nan(scores.miou.item()),
        "pixel_accuracy": without_nan(scores.pixel_accuracy.item()),
        "mean_accuracy": without_nan(scores.mean_accuracy.item()),
        "iou": without_nan(dict(zip(classes, scores.iou.tolist(), strict=True))),
        "accuracy": without_nan(dict(zip(classes, scores.accuracy.tolist(), strict=True))),
        "confusion": scores.confusion.tolist(),
    }


def report_to_dict(report: "Report", classes: Sequence[str]) -> dict[str, Any]:
    """What a measure found as plain containers, ready for ``json.dump``.

    Args:
        report: The report.
        classes: Class names in the order of their train ids.

    Returns:
        Its ``convention`` and its scores, then where it has them ``per_class`` (by column and class name), ``groups``
        (by row and column) and its details. NaN becomes None.
    """
    per_class = {name: dict(zip(classes, values, strict=True)) for name, values in report.per_class.items()}
    tables = {"per_class": per_class, "groups": report.groups}
    content: dict[str, Any] = without_nan(
        {"convention": report.convention, **report.scores, **{k: v for k, v in tables.items() if v}, **report.details}
    )
    return content


def without_nan(value: Any) -> Any:
    """Plain containers with None for every NaN in them, as JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: float, fractions: bool) -> str:
    if isinstance(value, int):
        return str(value)
    if fractions or math.isnan(value):
        return percent(value)
    return f"{value:.4f}"


def _check_names(scores: "Scores", classes: Sequence[str]) -> None:
    if len(classes) != len(scores.iou):
        raise ValueError(f"{len(classes)} class names for scores of {len(scores.iou)} classes")

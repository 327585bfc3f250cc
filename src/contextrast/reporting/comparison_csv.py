"""Comparisons as programs read them: one record per setting, with all digits."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from contextrast.reporting.comparison import Comparison
from contextrast.reporting.measures import co_primary
from contextrast.reporting.rows import Measured, Row
from contextrast.reporting.verdicts import DIFFERENCES


def comma_separated(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as CSV: scores and differences are fractions; what is not known is empty.

    The columns ``mean`` to ``images_high`` are the metric's; the same of each co-primary measure follow under its key.
    """
    records = [_record(comparison, row) for comparison in comparisons for row in comparison.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in record.items()} for record in records)
    return text.getvalue()


def _inert(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: texts of run folders may begin as one."""
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")) else value


def _record(comparison: Comparison, row: Row) -> dict[str, Any]:
    residual = comparison.residual
    return {
        "table": comparison.title,
        "setting": row.label,
        "metric": comparison.metric,
        "seeds": row.seeds,
        "finished": len(row.runs),
        "baseline": row.baseline,
        **_numbers(row.measured[row.metric]),
        "verdict": row.verdict and row.verdict.words,
        **_efforts(row),
        "comparisons": comparison.comparisons,
        "residual": residual and residual.deviation,
        "freedom": residual and residual.freedom,
        "deployed_parameters": row.deployed_parameters,
        "training_only_parameters": row.training_only_parameters,
        "step_seconds": row.step_seconds,
        "train_seconds": row.train_seconds,
        "peak_memory_bytes": row.peak_memory_bytes,
        **{
            f"{measure.key}_{name}": value
            for measure in co_primary()
            for name, value in _numbers(row.measured[measure.key]).items()
        },
    }


def _numbers(measured: Measured) -> dict[str, Any]:
    spread, difference, images = measured.spread, measured.difference, measured.images
    return {
        "mean": spread and spread.mean,
        "std": spread and spread.std,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "pairs": difference and difference.count,
        "images_low": images and images.low,
        "images_high": images and images.high,
    }


def _efforts(row: Row) -> dict[str, Any]:
    """Further seeds and hours for each difference; empty columns without a verdict."""
    efforts = row.verdict.efforts if row.verdict else [None] * len(DIFFERENCES)
    record: dict[str, Any] = {}
    for size, effort in zip(DIFFERENCES, efforts, strict=True):
        record[f"seeds_{100 * size:.1f}"] = effort and effort.seeds
        record[f"hours_{100 * size:.1f}"] = effort and effort.hours
    return record

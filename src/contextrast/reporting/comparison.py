"""Settings against their baselines, on the same seeds: differences, their intervals, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contextrast.errors import ConfigError
from contextrast.reporting.baselines import Baselines
from contextrast.reporting.blocks import BlockDifferences, Residual, block_differences
from contextrast.reporting.bootstrap import Resampled, image_interval, resampled
from contextrast.reporting.measures import Keyed, Measure, co_primary
from contextrast.reporting.rows import Row, by_dataset, rows_of
from contextrast.reporting.verdicts import Runs, verdict
from contextrast.runs.image_counts import read_image_counts
from contextrast.runs.records import Run


@dataclass(frozen=True)
class Comparison:
    """The settings that were run on one dataset by comparable recipes.

    Attributes:
        title: The dataset, or the recipe of results.
        measures: What the table is about first, then the co-primary measures that any run has.
        rows: In the order of their jobs.
        baseline: Label of the row that those without a baseline of their own are compared with; None where this
            comparison has no such row.
        notes: What the reader has to know: runs without a score and why, seeds that were run twice.
        residual: What single runs vary by in the metric; None where that cannot be told.
        comparisons: How many differences hold together.
    """

    title: str
    measures: Sequence[Measure]
    rows: Sequence[Row]
    baseline: str | None
    notes: Sequence[str]
    residual: Residual | None = None
    comparisons: int = 0

    @property
    def metric(self) -> str:
        """Key of what the table is about."""
        return self.measures[0].key


def compare(
    runs: Sequence[Run], metric: str = "miou", baselines: Baselines | None = None, thin: Sequence[str] | None = None
) -> list[Comparison]:
    """Group runs by dataset and setting, and compare each setting with its baseline.

    Args:
        runs: Any runs.
        metric: A co-primary measure (``miou``, ``thin``, ``b_miou``, ``pixel_accuracy``), or a fraction in
            ``metrics.json``; dots lead into it, such as ``iou.Pole``.
        baselines: What is compared with what; None compares with the first row.
        thin: Names of thin classes; None takes those of the dataset's facts.

    Returns:
        One comparison a dataset or recipe: runs of different ones are never in one table.

    Raises:
        ConfigError: If no comparison has such a baseline, or no run has the metric, or it is no fraction.
    """
    chosen = baselines or Baselines()
    known = co_primary(thin)
    first = next((measure for measure in known if measure.key == metric), Keyed(metric, metric))
    measures = [first, *(measure for measure in known if measure.key != metric)]
    tables = [(title, *rows_of(group, measures)) for title, group in by_dataset(runs)]
    if not any(row.scores for _, rows, _ in tables for row in rows) and any(run.metrics for run in runs):
        raise ConfigError(
            f"--metric {metric}: no run has it as a number between 0 and 1. It is miou, thin, b_miou, pixel_accuracy, "
            "or a key of metrics.json such as best.miou, mean_accuracy or iou.CLASS."
        )
    chosen.check([[row.label for row in rows] for _, rows, _ in tables])
    return [_compared(title, rows, notes, measures, chosen) for title, rows, notes in tables]


def _compared(
    title: str, rows: Sequence[Row], notes: Sequence[str], measures: Sequence[Measure], baselines: Baselines
) -> Comparison:
    """The rows with their differences, by the measures that any of them has."""
    shown = [
        measures[0],
        *(measure for measure in measures[1:] if any(row.measured[measure.key].scores for row in rows)),
    ]
    places, default = baselines.of([(row.label, row.overrides) for row in rows])
    notes = list(notes)
    images = [_resampled(row, shown, notes) for row in rows]
    found = {
        measure.key: block_differences([row.measured[measure.key].scores for row in rows], places) for measure in shown
    }
    compared = [
        row if base is None else _against(place, base, rows, images, found) for place, (row, base) in
        enumerate(zip(rows, places, strict=True))
    ]  # fmt: skip
    first = found[shown[0].key]
    return Comparison(
        title, shown, compared, None if default is None else rows[default].label, notes, first.residual,
        sum(difference is not None for difference in first.differences),
    )  # fmt: skip


def _against(
    place: int,
    base: int,
    rows: Sequence[Row],
    images: Sequence[Mapping[int, Resampled]],
    found: Mapping[str, BlockDifferences],
) -> Row:
    """A row with its differences to its baseline, and what they say."""
    row, baseline = rows[place], rows[base]
    measured = dict(row.measured)
    for key, blocks in found.items():
        interval = image_interval(images[place], images[base], key)
        measured[key] = replace(measured[key], difference=blocks.differences[place], images=interval)
    first = found[row.metric]
    own, others = (Runs(len(side.scores), side.train_seconds) for side in (row, baseline))
    said = verdict(first.differences[place], own, others, first.residual, first.correlation)
    return replace(row, measured=measured, baseline=baseline.label, verdict=said)


def _resampled(row: Row, measures: Sequence[Measure], notes: list[str]) -> dict[int, Resampled]:
    """Scores on resampled images of those runs that have counts of images."""
    scores = {}
    for run in row.runs:
        if run.images is None:
            continue
        try:
            scores[run.seed] = resampled(read_image_counts(run.images), measures)
        except ConfigError as error:
            notes.append(f"{row.label}, seed {run.seed}: {error}")
    return scores

"""Runs as rows: settings against their baselines, over seeds, by the measures that were fixed beforehand."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contextrast.errors import ConfigError
from contextrast.reporting.baselines import Baselines
from contextrast.reporting.blocks import BlockDifferences, Residual, block_differences
from contextrast.reporting.bootstrap import Interval, Resampled, image_interval, resampled
from contextrast.reporting.estimates import Difference, Spread, spread
from contextrast.reporting.measures import Keyed, Measure, co_primary
from contextrast.reporting.verdicts import Runs, Verdict, verdict
from contextrast.runs.image_counts import read_image_counts
from contextrast.runs.records import Run, value_of
from contextrast.runs.settings import differing_keys


@dataclass(frozen=True)
class Measured:
    """What the runs of a row reached by one measure.

    Attributes:
        scores: By seed, fractions.
        spread: Their mean and deviation over seeds; None without scores.
        difference: To the baseline, its interval adjusted for the number of rows; None without a baseline, and where
            no seeds lead from one to the other.
        images: Where the difference lies on other images of the same kind; None where runs have no counts of images.
    """

    scores: Mapping[int, float]
    spread: Spread | None
    difference: Difference | None = None
    images: Interval | None = None


@dataclass(frozen=True)
class Row:
    """The runs of one setting, which differ in their seeds alone.

    Attributes:
        label: The overrides that other rows lack or have other values of.
        overrides: All that was asked for, by key.
        runs: Its finished runs, one a seed.
        seeds: How many seeds were asked for.
        metric: Key of the measure that the table is about.
        measured: What was reached, by the measure's key.
        baseline: Label of the row that this one is compared with; None of one that is only a baseline.
        verdict: What the metric's difference says; None without a baseline.
    """

    label: str
    overrides: Mapping[str, str]
    runs: Sequence[Run]
    seeds: int
    metric: str
    measured: Mapping[str, Measured]
    baseline: str | None = None
    verdict: Verdict | None = None

    @property
    def scores(self) -> Mapping[int, float]:
        """The metric by seed, a fraction."""
        return self.measured[self.metric].scores

    @property
    def spread(self) -> Spread | None:
        """The metric's mean and deviation over seeds; None without scores."""
        return self.measured[self.metric].spread

    @property
    def difference(self) -> Difference | None:
        """The metric's difference to the baseline."""
        return self.measured[self.metric].difference

    @property
    def deployed_parameters(self) -> int | None:
        """Parameters of the deployed network."""
        return max(self._recorded("parameters.deployed"), default=None)

    @property
    def training_only_parameters(self) -> int | None:
        """Parameters of what exists in training only."""
        return max(self._recorded("parameters.training_only"), default=None)

    @property
    def step_seconds(self) -> float | None:
        """Median over seeds of the median step."""
        return _median(self._recorded("step_seconds"))

    @property
    def train_seconds(self) -> float | None:
        """Median over seeds of the whole training."""
        return _median(self._recorded("train_seconds"))

    @property
    def peak_memory_bytes(self) -> int | None:
        """The highest peak of all seeds."""
        return max(self._recorded("peak_memory_bytes"), default=None)

    def _recorded(self, key: str) -> list[Any]:
        values = (value_of(run.metrics, key) for run in self.runs)
        return [value for value in values if isinstance(value, int | float)]


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
    measured = _grouped(runs, lambda run: _text(run.data))
    titles = _titles([group[0].data for group in measured])
    tables = [(title, *_rows(group, measures)) for title, group in zip(titles, measured, strict=True)]
    if not any(row.scores for _, rows, _ in tables for row in rows) and any(run.metrics for run in runs):
        raise ConfigError(
            f"--metric {metric}: no run has it. It is miou, thin, b_miou, pixel_accuracy, or a key of metrics.json "
            "such as best.miou, mean_accuracy or iou.CLASS."
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


def _rows(runs: Sequence[Run], measures: Sequence[Measure]) -> tuple[list[Row], list[str]]:
    """One row a setting, and notes on the runs that do not count."""
    rows: list[Row] = []
    notes: list[str] = []
    for label, group in _settings(runs):
        counted: dict[int, Run] = {}
        for run in group:
            if _asked_score(run, measures[0]) is None:
                state = run.state if run.metrics is None else f"has no {measures[0].key}"
                notes.append(f"{label}, seed {run.seed}: {state}")
            elif run.seed in counted:
                notes.append(f"{label}, seed {run.seed}: there twice, {run.path} is left out")
            else:
                counted[run.seed] = run
        finished = list(counted.values())
        measured = {measure.key: _measured(finished, measure) for measure in measures}
        seeds = len({run.seed for run in group})
        rows.append(Row(label, group[0].overrides, finished, seeds, measures[0].key, measured))
    return rows, notes


def _measured(runs: Sequence[Run], measure: Measure) -> Measured:
    scores = {run.seed: score for run in runs if (score := _score(run, measure)) is not None}
    return Measured(scores, spread(list(scores.values())))


def _settings(runs: Sequence[Run]) -> Iterator[tuple[str, list[Run]]]:
    """Runs of one setting and its label: equal overrides, and equal settings wherever these are known."""
    shown = differing_keys([run.overrides for run in runs]) or list(runs[0].overrides)

    def asked(run: Run) -> str:
        return " ".join(run.overrides[key] for key in shown if key in run.overrides) or "defaults"

    for alike in _grouped(runs, asked):
        known = [run for run in alike if run.settings is not None]
        groups = _grouped(known, lambda run: _text(run.settings)) or [[]]
        groups[0] += [run for run in alike if run.settings is None]
        differing = differing_keys([run.settings for run in known if run.settings is not None])
        for group in groups:
            settings = group[0].settings or {}
            apart = " ".join(f"{key}={settings.get(key)}" for key in differing)
            yield asked(alike[0]) + (f" ({apart})" if apart else ""), group


def _titles(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each dataset or recipe; those of one name also show what they differ in."""
    names = [str(data.get("recipe") or data.get("data.dataset._target_")).rpartition(".")[2] for data in measured]
    titles = []
    for name, data in zip(names, measured, strict=True):
        alike = [other for other_name, other in zip(names, measured, strict=True) if other_name == name]
        apart = " ".join(f"{key}={data.get(key)}" for key in differing_keys(alike))
        titles.append(f"{name} ({apart})" if apart else name)
    return titles


def _score(run: Run, measure: Measure) -> float | None:
    """What a run reached by a measure; None where that is not recorded, or is no fraction, as foreign files may say."""
    value = measure.value(run.metrics)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _asked_score(run: Run, measure: Measure) -> float | None:
    """As `_score`, of the measure that was asked for.

    Raises:
        ConfigError: If it is no fraction.
    """
    value, score = measure.value(run.metrics), _score(run, measure)
    if score is None and value is not None and value == value:  # noqa: PLR0124  (not a number is not recorded)
        raise ConfigError(f"--metric {measure.key}: {value} in {run.path} is no fraction. Choose a score such as miou.")
    return score


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _grouped(runs: Iterable[Run], key: Callable[[Run], str]) -> list[list[Run]]:
    """Runs of equal keys together, in the order of their first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _text(settings: Any) -> str:
    """Settings as text that is equal if they are."""
    return json.dumps(settings, sort_keys=True, default=str)

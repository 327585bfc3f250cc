"""Runs as rows: settings against a baseline, over the seeds they share."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contextrast.errors import ConfigError
from contextrast.reporting.estimates import Difference, Spread, paired_difference, spread
from contextrast.reporting.runs import Run
from contextrast.runs.settings import differing_keys


@dataclass(frozen=True)
class Row:
    """The runs of one setting, which differ in their seeds alone.

    Attributes:
        label: The overrides that other rows lack or have other values of.
        runs: Its finished runs, one a seed.
        seeds: How many seeds were asked for.
        scores: The metric by seed, a fraction.
        spread: Its mean and deviation over seeds; None without scores.
        difference: To the baseline on shared seeds; None of the baseline itself, and where no seed is shared.
    """

    label: str
    runs: Sequence[Run]
    seeds: int
    scores: Mapping[int, float]
    spread: Spread | None
    difference: Difference | None = None

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
        times = self._recorded("step_seconds")
        return statistics.median(times) if times else None

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
        metric: What is compared, a key of ``metrics.json``.
        rows: In the order of their jobs.
        baseline: Label of the row the others are compared with; None where this comparison has no such row.
        notes: What the reader has to know: runs without a score and why, seeds that were run twice.
    """

    title: str
    metric: str
    rows: Sequence[Row]
    baseline: str | None
    notes: Sequence[str]


def compare(runs: Sequence[Run], metric: str = "miou", baseline: str | None = None) -> list[Comparison]:
    """Group runs by dataset and setting.

    Args:
        runs: Any runs.
        metric: A fraction in ``metrics.json``; dots lead into it, such as ``iou.Pole``.
        baseline: Label of the row that others are compared with, or a part of it that no other label has; None takes
            the first row.

    Returns:
        One comparison a dataset or recipe: runs of different ones are never in one table.

    Raises:
        ConfigError: If no comparison has such a baseline, or no run has the metric, or it is no fraction.
    """
    measured = _grouped(runs, lambda run: _text(run.data))
    titles = _titles([group[0].data for group in measured])
    tables = [(title, *_rows(group, metric)) for title, group in zip(titles, measured, strict=True)]
    if not any(row.scores for _, rows, _ in tables for row in rows) and any(run.metrics for run in runs):
        raise ConfigError(
            f"--metric {metric}: no run has it. It is a key of metrics.json such as miou, best.miou, pixel_accuracy, "
            "mean_accuracy or iou.CLASS."
        )
    chosen = [_choose([row.label for row in rows], baseline) for _, rows, _ in tables]
    if tables and not any(chosen):
        labels = "\n  ".join(row.label for _, rows, _ in tables for row in rows)
        raise ConfigError(f"--baseline {baseline}: no row, or more than one, is called so. There are\n  {labels}")
    return [
        Comparison(title, metric, _against(rows, label), label, notes)
        for (title, rows, notes), label in zip(tables, chosen, strict=True)
    ]


def value_of(metrics: Mapping[str, Any] | None, key: str) -> Any:
    """The value that a dotted key leads to; None where there is none."""
    value: Any = metrics
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _rows(runs: Sequence[Run], metric: str) -> tuple[list[Row], list[str]]:
    """One row a setting, and notes on the runs that do not count."""
    rows: list[Row] = []
    notes: list[str] = []
    for label, group in _settings(runs):
        counted: dict[int, Run] = {}
        scores: dict[int, float] = {}
        for run in group:
            score = _score(run, metric)
            if score is None:
                state = run.state if run.metrics is None else f"has no {metric}"
                notes.append(f"{label}, seed {run.seed}: {state}")
            elif run.seed in counted:
                notes.append(f"{label}, seed {run.seed}: there twice, {run.path} is left out")
            else:
                counted[run.seed], scores[run.seed] = run, score
        seeds = len({run.seed for run in group})
        rows.append(Row(label, list(counted.values()), seeds, scores, spread(list(scores.values()))))
    return rows, notes


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


def _against(rows: Sequence[Row], baseline: str | None) -> list[Row]:
    """The rows with their differences to the baseline."""
    scores: Mapping[int, float] = next((row.scores for row in rows if row.label == baseline), {})
    return [
        row if row.label == baseline else replace(row, difference=paired_difference(row.scores, scores)) for row in rows
    ]


def _choose(labels: Sequence[str], text: str | None) -> str | None:
    """The label that is or contains the text, if it is the only one; the first label for no text."""
    if text is None or text in labels:
        return text or labels[0]
    containing = [label for label in labels if text in label]
    return containing[0] if len(containing) == 1 else None


def _titles(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each dataset or recipe; those of one name also show what they differ in."""
    names = [str(data.get("recipe") or data.get("data.dataset._target_")).rpartition(".")[2] for data in measured]
    titles = []
    for name, data in zip(names, measured, strict=True):
        alike = [other for other_name, other in zip(names, measured, strict=True) if other_name == name]
        apart = " ".join(f"{key}={data.get(key)}" for key in differing_keys(alike))
        titles.append(f"{name} ({apart})" if apart else name)
    return titles


def _score(run: Run, metric: str) -> float | None:
    """The metric of a run; None where it has none.

    Raises:
        ConfigError: If it is no fraction.
    """
    value = value_of(run.metrics, metric)
    if value is None or value != value:  # noqa: PLR0124  (not a number, as a foreign file may say)
        return None
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"--metric {metric}: {value} in {run.path} is no fraction. Choose a score such as miou.")
    return float(value)


def _grouped(runs: Iterable[Run], key: Callable[[Run], str]) -> list[list[Run]]:
    """Runs of equal keys together, in the order of their first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _text(settings: Any) -> str:
    """Settings as text that is equal if they are."""
    return json.dumps(settings, sort_keys=True, default=str)

"""Runs as rows: those of one setting together, over seeds, by the measures that were fixed beforehand."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextrast.reporting.bootstrap import Interval
from contextrast.reporting.estimates import Difference, Spread, spread
from contextrast.reporting.measures import Measure
from contextrast.reporting.verdicts import Verdict
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


def by_dataset(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Runs of each dataset or recipe under its name; those of one name also show what they differ in."""
    groups = _grouped(runs, lambda run: _text(run.data))
    measured = [group[0].data for group in groups]
    names = [str(data.get("recipe") or data.get("data.dataset._target_")).rpartition(".")[2] for data in measured]
    titles = []
    for name, data in zip(names, measured, strict=True):
        alike = [other for other_name, other in zip(names, measured, strict=True) if other_name == name]
        apart = " ".join(f"{key}={data.get(key)}" for key in differing_keys(alike))
        titles.append(f"{name} ({apart})" if apart else name)
    return list(zip(titles, groups, strict=True))


def rows_of(runs: Sequence[Run], measures: Sequence[Measure]) -> tuple[list[Row], list[str]]:
    """One row for each setting, and notes on the runs that do not count.

    Args:
        runs: Those of one dataset or recipe.
        measures: What rows are measured by, the metric that is asked for first.
    """
    rows: list[Row] = []
    notes: list[str] = []
    for label, group in _settings(runs):
        counted: dict[int, Run] = {}
        for run in group:
            if _score(run, measures[0]) is None:
                state = run.state if run.metrics is None else f"has no {measures[0].key} between 0 and 1"
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


def _score(run: Run, measure: Measure) -> float | None:
    """What a run reached by a measure; None where that is not recorded, or is no fraction, as foreign files may say."""
    value = measure.value(run.metrics)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


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

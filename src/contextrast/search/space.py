"""What a search varies: Hydra's sweep syntax as Optuna's suggestions."""

from collections.abc import Sequence
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer

from contextrast.errors import ConfigError
from contextrast.runs.settings import by_key


def split_space(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Part overrides into those that are searched over and those that are the same for all trials.

    Args:
        texts: Overrides as typed; of two for one key the later one counts.

    Returns:
        Overrides with an interval, a range or several values, and the texts of the others.

    Raises:
        ConfigError: If there is nothing to search over.
    """
    parsed = OverridesParser.create().parse_overrides(list(by_key(texts).values()))
    axes = [override for override in parsed if override.is_sweep_override()]
    if not axes:
        raise ConfigError(
            f"Nothing to search over in {' '.join(texts) or 'no overrides'}: choose a search=NAME of conf/search, or "
            "give intervals and choices, such as loss.alpha=interval(0.01,1) loss/fusion=static,adaptive."
        )
    return axes, [str(override.input_line) for override in parsed if not override.is_sweep_override()]


def suggest(trial: optuna.Trial, axis: Override) -> str:
    """A trial's value of an axis, as an override.

    ``int(interval(10, 100))`` gives whole numbers, ``tag(log, interval(0.01, 1))`` is searched on a logarithmic scale.
    """
    key, values = axis.get_key_element(), axis.value()
    if not isinstance(values, IntervalSweep):
        choices = [str(text) for text in axis.sweep_iterator(transformer=Transformer.encode)]
        return f"{key}={trial.suggest_categorical(key, choices)}"
    low: Any = values.start  # typed as float, and an int where the interval is cast by int()
    high: Any = values.end
    log = "log" in values.tags
    if isinstance(low, int) and isinstance(high, int):
        return f"{key}={trial.suggest_int(key, low, high, log=log)}"
    return f"{key}={trial.suggest_float(key, low, high, log=log)}"


def first_values(axes: Sequence[Override]) -> list[str]:
    """One job of the space, to see whether its jobs can be composed at all."""
    firsts = []
    for axis in axes:
        values = axis.value()
        if isinstance(values, IntervalSweep):
            first: object = values.start
        else:
            first = next(iter(axis.sweep_iterator(transformer=Transformer.encode)))
        firsts.append(f"{axis.get_key_element()}={first}")
    return firsts

"""Which settings change what a run computes, and which say only where things lie or how they are computed.

One answer for everybody who asks: resuming, sweeps, reports, results, exports and the names of runs, from the table in
`contextrast.runs.rules`. A setting that it does not know counts as one that changes the result, so that a new one keeps
runs apart until somebody has thought about it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from contextrast.runs.rules import RULES, Kind, Rule, itself

_MISSING: Final = object()


def rule_of(key: str, settings: Mapping[str, Any] | None = None) -> Rule | None:
    """The rule that holds for a setting; None for one that nobody has thought about.

    Args:
        key: Its dotted key.
        settings: The run's settings by dotted key; rules that depend on others hold only where they are given.
    """
    known = settings or {}
    found = [rule for rule in _about(key) if rule.where is None or known.get(rule.where[0]) == rule.where[1]]
    return max(found, key=lambda rule: rule.rank, default=None)


@cache
def _about(key: str) -> Sequence[Rule]:
    """All rules that match a setting."""
    return [rule for rule in RULES if rule.matches(key)]


def kind_of(key: str, settings: Mapping[str, Any] | None = None) -> Kind:
    """What a setting has to do with the result; the arguments are those of `rule_of`."""
    rule = rule_of(key, settings)
    return Kind.RESULT if rule is None else rule.kind


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key.

    Args:
        config: A composed configuration as plain containers.
    """
    return dict(_flatten(config, ""))


def results(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change the result, by dotted key, as they are compared: equal where the runs compute the same.

    Args:
        config: A run's composed configuration as plain containers; its run folder counts as equal to any other.
    """
    settings = flat(config)
    run_dir = str(settings.get("paths.run_dir") or "")
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        rule = rule_of(key, settings)
        if rule is None or rule.kind is Kind.RESULT:
            shown = value if rule is None else rule.seen_as(value)
            kept[key] = shown.replace(run_dir, "RUN") if isinstance(shown, str) and run_dir else shown
    return kept


def executions(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say how a run is computed, by dotted key."""
    settings = flat(config)
    return {key: value for key, value in settings.items() if kind_of(key, settings) is Kind.EXECUTION}


def result_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration reduced to what changes the result, nested and with values as they were."""
    settings = flat(config)
    return _kept(config, "", lambda key: kind_of(key, settings) is Kind.RESULT)


def without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What repetitions of a run have in common: all but its seeds. A dataset's own seed makes another dataset."""
    return {key: value for key, value in settings.items() if not _is_seed(key)}


def differing_keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all settings, in the order in which they first occur."""
    keys = dict.fromkeys(key for item in settings for key in item)
    return [key for key in keys if any(item.get(key, _MISSING) != settings[0].get(key, _MISSING) for item in settings)]


def differences(there: Mapping[str, Any], here: Mapping[str, Any], keys: Sequence[str], most: int = 5) -> str:
    """What differs between two runs' settings, in words: ``loss.alpha: 0.2 there, 0.1 here; ...``."""
    shown = [f"{key}: {there.get(key, '-')} there, {here.get(key, '-')} here" for key in keys[:most]]
    return "; ".join(shown) + (f" and {len(keys) - most} more" if len(keys) > most else "")


def by_key(overrides: Sequence[str]) -> dict[str, str]:
    """Hydra's overrides as typed, by what they override; of two for one key the later one counts."""
    return {text.lstrip("+~").partition("=")[0]: text for text in overrides}


def changes_result(override: str) -> bool:
    """Whether an override, as typed, is of a setting that changes the result."""
    return kind_of(_typed_key(override)) is Kind.RESULT


def told_by_value(override: str) -> bool:
    """Whether an override, as typed, says the whole of what counts of its setting: ``trainer.devices=[3]`` does not."""
    rule = rule_of(_typed_key(override))
    return rule is None or rule.seen_as is itself


def _typed_key(override: str) -> str:
    """The dotted key of an override as typed: ``loss.negatives`` of ``+loss/negatives@_here_=all``."""
    return re.sub(r"@.*", "", next(iter(by_key([override])))).replace("/", ".")


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed" and not key.startswith("data.dataset.")


def _flatten(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _kept(config: Mapping[str, Any], prefix: str, keeps: Callable[[str], bool]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            if inside := _kept(value, f"{prefix}{key}.", keeps):
                kept[key] = inside
        elif keeps(f"{prefix}{key}"):
            kept[key] = value
    return kept

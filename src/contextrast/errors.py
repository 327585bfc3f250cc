"""Errors a user can cause and mend. Each message says what was received, where, and what to do."""

import math


class ContextrastError(Exception):
    """Base of every error this package raises on purpose; commands print its message without a traceback."""


class ConfigError(ContextrastError):
    """A configuration value, or a combination of values, that cannot work."""


class DataError(ContextrastError):
    """A dataset that is missing, incomplete or inconsistent, or a file in it that cannot be used."""


class UnreadableError(DataError):
    """A file that cannot be decoded: others beside it may well be."""


class MissingSplitError(DataError):
    """A split that a dataset's folder does not hold at all."""


class WeightsError(ContextrastError):
    """A weight file that is missing or does not fit the network it is meant for."""


class CheckpointError(ContextrastError):
    """A checkpoint that is missing, damaged, or of another architecture or class count."""


class NonFiniteLossError(ContextrastError):
    """A loss term became infinite or not a number; the run stops before the optimiser step."""


class LostProcessError(ContextrastError):
    """Another process of a run was killed or failed; what ended it stands in its own output."""


class SeriesStoppedError(ContextrastError):
    """A signal stopped a run of a series; the same command goes on."""


def check_number(
    name: str, value: object, least: float = 0.0, most: float = math.inf, *, above: bool = False, whole: bool = False
) -> None:
    """Refuse what is no finite number of a range.

    Args:
        name: Of the argument, with which the message begins.
        value: What was given.
        least: The smallest number.
        most: The largest number.
        above: Whether ``least`` itself is refused.
        whole: Whether fractions are.

    Raises:
        ConfigError: If it is anything else.
    """
    numeric = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and math.isfinite(value)
    if numeric and least <= value <= most and not (above and value == least):  # type: ignore[operator]  # a number
        return
    kind = "a whole number" if whole else "a number"
    ranged = (
        f"from {least:g} to {most:g}" if most < math.inf else f"above {least:g}" if above else f"of at least {least:g}"
    )
    raise ConfigError(f"{name} must be {kind} {ranged}, got {value!r}")


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says; its type if it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def first_sentence(error: BaseException) -> str:
    """As :func:`first_line`, without the paragraphs that some append on the same line."""
    return first_line(error).partition(". ")[0].removesuffix(".")

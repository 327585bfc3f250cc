"""Errors a user can cause and mend. Each message says what was received, where, and what to do."""


class ContextrastError(Exception):
    """Base of every error this package raises on purpose; commands print its message without a traceback."""


class ConfigError(ContextrastError):
    """A configuration value, or a combination of values, that cannot work."""


class DataError(ContextrastError):
    """A dataset that is missing, incomplete or inconsistent, or a file in it that cannot be used."""


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


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says; its type if it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def first_sentence(error: BaseException) -> str:
    """As :func:`first_line`, without the paragraphs that some append on the same line."""
    return first_line(error).partition(". ")[0].removesuffix(".")

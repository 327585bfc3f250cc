"""What the Hydra commands share: finding ``conf/``, and errors without a traceback where the user can mend them."""

import errno
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import hydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from contextrast.cli.entry import function_at
from contextrast.cli.keys import meant, unknown_setting
from contextrast.errors import ContextrastError
from contextrast.extras import installation
from contextrast.folders import config_directory
from contextrast.runs.composition import register
from contextrast.runs.quoting import quoted
from contextrast.signals import ending_at_once
from contextrast.tasks.sweeps import FailedJobs, in_sweep

MENDABLE = (ContextrastError, HydraException, OmegaConfBaseException, OSError, MemoryError)


class Task:
    """A task for Hydra: imported when it is called, so that mistakes in what was typed show within a second.

    Where there is one, ``conf/`` can be composed; so it can in the processes that Hydra's launchers start, which make
    it anew from what they are sent.

    Args:
        place: ``MODULE:FUNCTION`` of what is called with the composed configuration.
        config_name: The file of ``conf/`` that is composed.
        tell: Whether a single job's error that its user can mend is told by its message, with exit code 1. Jobs of
            sweeps raise all errors, so that the others go on.
    """

    def __init__(self, place: str, config_name: str, tell: bool = True) -> None:
        register()
        self._sent = place, config_name, tell
        self.__module__ = place.partition(":")[0]  # by which Hydra calls the job

    def __call__(self, config: DictConfig) -> object:
        """What the task returns.

        Raises:
            SystemExit: In the place of an error that is told.
        """
        place, config_name, tell = self._sent
        try:
            return function_at(place)(config)
        except Exception as error:
            if not tell or in_sweep() or not is_mendable(error):
                raise
            _tell(error, config_name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Task, self._sent


_UNWRITABLE: Final = "Nothing can be written there: name another folder with paths.runs=PATH or hydra.run.dir=PATH."
_FULL: Final = "The disk is full: make room and go on with resume=RUN_FOLDER; paths.runs=PATH puts new runs elsewhere."
_BY_NUMBER: Final = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _UNWRITABLE),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
}
"""What to do about the system's errors, by their numbers."""

_BY_KIND: Final[Mapping[str, str]] = {
    "FileExistsError": "This is a file where a folder has to be: move it, or name another one with hydra.run.dir=PATH.",
    "InterpolationResolutionError": "${...} refers to another setting; for a path with it use a link.",
    "MisconfigurationException": "Change the trainer's settings: trainer.KEY=VALUE, or trainer=cpu.",
}
"""What to do about errors of others that say nothing of it, by their class's name."""


def run(config_name: str, place: str) -> None:
    """Compose the settings and run the task; exit with 1 on a mendable error.

    So it does after a sweep in which jobs failed, once it has named them.

    Args:
        config_name: The file of ``conf/`` that is composed.
        place: ``MODULE:FUNCTION`` of the task.

    Raises:
        SystemExit: If it failed in a way that its user can mend.
    """
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"  # whoever asks for it gets ours with their traceback too
    app = hydra.main(str(config_directory()), config_name, version_base="1.3")(Task(place, config_name, not full))
    _quiet()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a traceback and exits before the error gets here
    try:
        with ending_at_once():
            app()
    except Exception as error:
        failed_jobs = FailedJobs.summary()
        if full or (failed_jobs is None and not is_mendable(error)):
            raise
        _tell(error, config_name, failed_jobs)
    finally:
        if not full:
            del os.environ["HYDRA_FULL_ERROR"]


@contextmanager
def reporting_errors(config_name: str) -> Iterator[None]:
    """End with 1 and a message where something is wrong that the user can mend.

    Args:
        config_name: The file of ``conf/`` whose settings it may be about.

    Raises:
        SystemExit: In the place of the error.
    """
    try:
        yield
    except Exception as error:
        if not is_mendable(error):
            raise
        _tell(error, config_name)


def _tell(error: Exception, config_name: str, instead: str | None = None) -> NoReturn:
    print(instead or message_of(error, config_name), file=sys.stderr)
    sys.exit(1)


def message_of(error: Exception, config_name: str) -> str:
    """What a command prints of an error that its user can mend, with what to do about it.

    Args:
        error: The error.
        config_name: The file of ``conf/`` that the command composes.
    """
    unknown = unknown_setting(str(error))
    if unknown is not None:
        return f"ConfigError: There is no setting {unknown}.{meant(unknown, config_name)}"
    return f"{type(error).__name__}: {error}{_hint(error)}"


def is_mendable(error: Exception) -> bool:
    """Whether this is an error that is told by its message alone."""
    return (
        isinstance(error, MENDABLE)
        or type(error).__name__ == "MisconfigurationException"  # Lightning's, which is not imported for its sake
        or _left_out(error)
        or _out_of_memory(error)
    )


def _as_text(override: str) -> str:
    """What to type for an override whose value Hydra did not take for text."""
    key, _, value = override.partition("=")
    return f"Lists are KEY=[1,2]; text, such as a path, is quoted: {shlex.quote(f'{key}={quoted(value)}')}"


def _left_out(error: Exception) -> bool:
    """Whether this is Hydra's ValueError for GROUP=null."""
    return "Config group override must be" in str(error)


def _out_of_memory(error: Exception) -> bool:
    """Whether the machine, or its GPU, has not as much memory as was asked for."""
    return (
        isinstance(error, MemoryError)
        or re.search(r"can't allocate memory|out of memory|Storage size calculation overflowed", str(error)) is not None
    )


def _hint(error: Exception) -> str:
    """What to do about errors of others that do not say it, as a line to add to their message."""
    if _left_out(error):
        found: str | None = "To leave a group out write ~GROUP."
    elif _out_of_memory(error):
        found = (
            "There is not as much memory. Lower what makes the work large: data.batch_size, data.crop, window=[H,W]."
        )
    elif isinstance(error, MissingMandatoryValue):
        found = f"Give it on the command line: {error.full_key}=VALUE."
    elif isinstance(error, OverrideParseException):
        found = _as_text(error.override)
    elif ambiguous := re.search(r"Ambiguous value for argument '(.*)'", str(error)):
        found = _as_text(ambiguous[1])
    elif isinstance(error, InterpolationKeyError | GrammarParseError) and any("${" in one for one in sys.argv):
        found = _as_text(next(one for one in sys.argv if "${" in one))
        found += "\nSettings of data, model and the like hold no ${...} at all: name a link to the file or folder."
    elif missing := re.search(r"hydra/(?:launcher|sweeper)/(ray|joblib|submitit|optuna)", str(error)):
        extra = "ray" if missing[1] == "ray" else "sweep"
        found = f"It comes with contextrast[{extra}]: {installation(extra)}"
    elif isinstance(error, OSError) and error.errno in _BY_NUMBER:
        found = _BY_NUMBER[error.errno]
    else:
        found = next((_BY_KIND[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _BY_KIND), None)
    return "" if found is None else f"\n{found}"


def _quiet() -> None:
    """Keep what is no news to the user off the terminal."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)  # advertisements, device lists
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's use of torch, mended in its next release
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # a choice of conf/data
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")  # its sampler knows where it was
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")  # steps count over epochs here

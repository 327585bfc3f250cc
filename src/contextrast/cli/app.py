"""What the Hydra commands share: finding ``conf/``, and errors without a traceback where the user can mend them."""

import difflib
import errno
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import update_wrapper
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from contextrast.cli.sweeps import FailedJobs
from contextrast.config import config_directory
from contextrast.errors import ConfigError, ContextrastError
from contextrast.runs.composition import compose, register
from contextrast.signals import ending_at_once

MENDABLE = (ContextrastError, HydraException, MisconfigurationException, OmegaConfBaseException, OSError, MemoryError)


class Task:
    """A task for Hydra; where there is one, ``conf/`` can be composed.

    So it can in the processes that Hydra's launchers start, which make it anew from what they are sent.

    Args:
        run: What is called with the composed configuration.
    """

    def __init__(self, run: Callable[[DictConfig], object]) -> None:
        register()
        self._run = run
        update_wrapper(self, run)

    def __call__(self, config: DictConfig) -> object:
        """What the task returns."""
        return self._run(config)

    def __reduce__(self) -> tuple[Any, ...]:
        return Task, (self._run,)


_UNWRITABLE: Final = "Nothing can be written there: name another folder with paths.runs=PATH or hydra.run.dir=PATH."
_FULL: Final = "The disk is full: make room and go on with resume=RUN_FOLDER; paths.runs=PATH puts new runs elsewhere."
_BY_NUMBER: Final = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _UNWRITABLE),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
}
"""What to do about the system's errors, by their numbers."""

_BY_KIND: Final[dict[type[Exception], str]] = {
    FileExistsError: "This is a file where a folder has to be: move it, or name another one with hydra.run.dir=PATH.",
    InterpolationResolutionError: "${...} refers to another setting; for a path with it use a link.",
    MisconfigurationException: "Change the trainer's settings: trainer.KEY=VALUE, or trainer=cpu.",
}
"""What to do about errors of others that say nothing of it."""


def command(config_name: str) -> Callable[[Callable[[DictConfig], object]], Callable[[], None]]:
    """Make a console script of a task: composes ``config_name``, runs the task, exits with 1 on a mendable error.

    So it does after a sweep in which jobs failed, once it has named them.
    """

    def decorate(task: Callable[[DictConfig], object]) -> Callable[[], None]:
        def main() -> None:
            app = hydra.main(str(config_directory()), config_name, version_base="1.3")(Task(task))
            _quiet()
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                with ending_at_once():
                    app()  # whoever asks for Hydra's full errors gets ours with their traceback too
                return
            os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a traceback and exits before the error gets here
            try:
                with ending_at_once():
                    app()
            except Exception as error:
                failed_jobs = FailedJobs.summary()
                if failed_jobs is None and not is_mendable(error):
                    raise
                message = f"{type(error).__name__}: {error}{_hint(error, config_name)}"
                print(failed_jobs or message, file=sys.stderr)
                sys.exit(1)
            finally:
                del os.environ["HYDRA_FULL_ERROR"]

        return main

    return decorate


def is_mendable(error: Exception) -> bool:
    """Whether this is an error that is told by its message alone."""
    return isinstance(error, MENDABLE) or _left_out(error) or _out_of_memory(error)


def refuse_finished(run_dir: Path) -> None:
    """Leave a folder alone that holds a finished run.

    Raises:
        ConfigError: If it does.
    """
    if (run_dir / "metrics.json").exists():
        raise ConfigError(
            f"{run_dir} already holds a finished run (metrics.json). Nothing was changed: choose another "
            "hydra.run.dir, or remove the folder."
        )


def quoted(text: object) -> str:
    """Text, such as a path, as Hydra's override grammar takes it, whatever characters it has."""
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (r"\"" if found[2] else ""), str(text))
    return '"' + escaped.replace("${", r"\${") + '"'


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


def _hint(error: Exception, config_name: str) -> str:
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
    elif isinstance(error, OSError) and error.errno in _BY_NUMBER:
        found = _BY_NUMBER[error.errno]
    else:
        found = next((text for kind, text in _BY_KIND.items() if isinstance(error, kind)), None)
    return near_keys(str(error), config_name) if found is None else f"\n{found}"


def near_keys(message: str, config_name: str) -> str:
    """Existing keys that look like the one Hydra could not override, as a line to add to its message."""
    refused = re.search(r"Could not override '([^']+)'", message)
    if refused is None:
        return ""
    GlobalHydra.instance().clear()
    choices = [text for text in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w/-]+", text)]
    try:
        composed = compose(config_name, [text for text in choices if text.partition("=")[0] != refused[1]])
    except HydraException:  # of a command that has to be told more, or of what else was typed
        return ""
    known = set(_keys(OmegaConf.to_container(composed)))
    near = difflib.get_close_matches(refused[1], known, n=5, cutoff=0.6)
    return f"\nDid you mean: {', '.join(near)}?" if near else ""


def _keys(config: object, prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys of nested plain containers."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def _quiet() -> None:
    """Keep what is no news to the user off the terminal."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)  # advertisements, device lists
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's use of torch, mended in its next release
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # a choice of conf/data

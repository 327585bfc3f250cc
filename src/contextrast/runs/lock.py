"""One process at a time trains into a run folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from contextrast.errors import ConfigError

_FILE: Final = ".lock"
_PATIENCE: Final = 10.0
"""Seconds to wait: workers of a killed run hold its lock until they notice, which takes them five."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold a run folder's lock, for the first process of a run; the others belong to it and do without.

    The system lets go of it when the process ends, however it ends.

    Args:
        run_dir: The folder; it is made.

    Raises:
        ConfigError: If another process holds it.
    """
    if not first_process():
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    with held(run_dir / _FILE, _PATIENCE) as mine:
        if not mine:
            raise ConfigError(
                f"{run_dir} belongs to a run that is being trained now. Nothing was changed: wait for its end, or "
                "choose another folder with hydra.run.dir=PATH."
            )
        yield


def is_running(run_dir: Path) -> bool:
    """Whether some process trains into a run folder."""
    path = run_dir / _FILE
    if not path.exists():
        return False
    try:
        with held(path) as mine:
            return not mine
    except OSError:  # a folder that is read only is nobody's to train into
        return False


@contextmanager
def held(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Hold a lock, which the system lets go of when the process ends; tells whether it could be had.

    Args:
        path: The file that it is; its folder has to be there.
        patience: Seconds to wait while another process has it.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def first_process() -> bool:
    """Whether this is the first process of a run, by what Lightning, torchrun and SLURM say, or its only one."""
    return getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"

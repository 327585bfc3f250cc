"""Which checkpoint a setting names: a file, a run's folder, or the run that saved last."""

import os
from pathlib import Path
from typing import Final

from omegaconf import DictConfig, OmegaConf

from contextrast.checkpoints.files import previous_checkpoints
from contextrast.data.pairing import given_path
from contextrast.errors import CheckpointError
from contextrast.runs.lock import is_running

LAST: Final = Path("checkpoints") / "last.ckpt"
"""Where a run folder has the state it stopped in."""

_LATEST: Final = "latest"


def find_checkpoint(asked: str, runs: Path, setting: str, busy: bool = False) -> Path:
    """The checkpoint that a setting names.

    Args:
        asked: ``latest``, a run folder, which stands for its last checkpoint, or a checkpoint.
        runs: Folder under which the latest is looked for.
        setting: The setting, for messages.
        busy: Whether the latest may be of a run that is being trained; else such runs are passed over.

    Returns:
        Its absolute path.

    Raises:
        CheckpointError: If there is none.
    """
    if asked == _LATEST:
        found = sorted(runs.rglob(str(LAST)), key=lambda path: path.stat().st_mtime, reverse=True)
        idle = next((path for path in found if busy or not is_running(path.parents[1])), None)
        if idle is None:
            alive = f"{len(found)} are being trained; no other" if found else "no"
            raise CheckpointError(
                f"{setting}=latest: {alive} run under {runs.absolute()} has a {LAST}. A run has one from its first "
                f"validation on. Name another folder with paths.runs=PATH, or a run with {setting}=PATH."
            )
        return idle.absolute()
    path = Path(asked).expanduser()
    path = path.resolve() / LAST if path.is_dir() else path  # `runs/latest` is a link, which the next run moves
    if not path.is_file() and not previous_checkpoints(path):
        raise CheckpointError(
            f"{setting}={asked}: {path} is no file. A run has checkpoints/last.ckpt from its first validation on; one "
            "that stopped before has to start anew."
        )
    return path.absolute()


def with_checkpoint(config: DictConfig) -> DictConfig:
    """Settings of a command in which ``checkpoint`` is a file, or an export, as `checkpoint_or_export` has it."""
    chosen = {"checkpoint": checkpoint_or_export(config.checkpoint, Path(config.paths.runs))}
    return OmegaConf.merge(config, chosen)  # type: ignore[return-value]  # of a mapping and one


def checkpoint_or_export(asked: str, runs: Path, setting: str = "checkpoint") -> str:
    """What ``checkpoint=`` names, where an export may stand, too; a run's folder and ``latest`` become its checkpoint.

    Args:
        asked: As typed.
        runs: Folder under which the latest is looked for.
        setting: The setting, for messages.

    Raises:
        CheckpointError: If a run folder has no checkpoint, or there is no latest run.
    """
    path = given_path(setting, asked)
    if asked == _LATEST or (path / LAST.parent).is_dir():
        return str(find_checkpoint(asked, runs, setting, busy=True))
    return asked


def link_latest(run_dir: Path, runs: Path) -> None:
    """Have ``runs/latest`` lead to a run that begins; where links cannot be made, nothing happens."""
    try:
        link, target = runs / _LATEST, os.path.relpath(run_dir, runs)
        if link.exists() and not link.is_symlink():
            return  # somebody's own
        if target == _LATEST or not run_dir.resolve().is_relative_to(runs.resolve()):
            return
        new = runs / f".{_LATEST}-{os.getpid()}"
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
    except OSError:
        return

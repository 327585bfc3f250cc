"""The records of a run: ``metrics.csv`` and a Weights & Biases run. wandb is imported when a run of its begins."""

import csv
import netrc
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only


class RunCsv(CSVLogger):
    """Lightning's CSV logger, made to share a run folder with other files.

    Writes ``<save_dir>/metrics.csv``. The stock logger warns about every file beside its own, deletes the rows of a
    run that is resumed, and adds a copy of the hyperparameters, which ``config.yaml`` holds already.

    Args:
        save_dir: The run folder.
        flush_logs_every_n_steps: Rows reach the file when a step divisible by this is logged.
    """

    def __init__(self, save_dir: str | Path, flush_logs_every_n_steps: int = 1) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    @rank_zero_experiment
    def experiment(self) -> "_AppendingWriter":
        """What writes the file; made on first use."""
        if not isinstance(self._experiment, _AppendingWriter):
            self._experiment = _AppendingWriter(self.log_dir)
        return self._experiment

    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: the run folder holds them in ``config.yaml``."""


class _AppendingWriter(ExperimentWriter):
    """Continues a file that is there already."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _check_log_dir_exists(self) -> None:
        """A run folder is never empty, and earlier rows belong to the same run."""


class RunWandb(WandbLogger):
    """Weights & Biases, offline unless the user is logged in or sets a mode.

    Args:
        save_dir: The run folder; the record lands in its ``wandb`` folder.
        project: Project that the run belongs to.
        name: Name of the run; wandb makes one up if not given.
        group: Group of runs that belong together, for example the seeds of one setting.
        tags: Labels to find the run by.
        mode: ``online``, ``offline`` or ``disabled``; if not given, see `default_mode`.
        **init: Further arguments of ``wandb.init``.
    """

    def __init__(
        self,
        save_dir: str | Path,
        *,
        project: str = "contextrast",
        name: str | None = None,
        group: str | None = None,
        tags: Iterable[str] = (),
        mode: str | None = None,
        **init: Any,
    ) -> None:
        mode = mode or default_mode()
        super().__init__(save_dir=save_dir, project=project, name=name, group=group, tags=list(tags), mode=mode, **init)
        self._wandb_init.pop("anonymous", None)  # Lightning passes it always, and wandb warns that it is obsolete
        self._finished = False

    @rank_zero_only
    def finish(self, failed: bool) -> None:
        """Close the record, so that the next run of this process gets its own.

        Args:
            failed: Mark the run as failed.
        """
        if self._experiment is not None and not self._finished:
            self._experiment.finish(exit_code=int(failed))
            self._finished = True


def default_mode() -> str:
    """The mode of W&B where the configuration gives none.

    It is always said: wandb itself reads the environment once a process, which a second run may have changed since.

    Returns:
        ``WANDB_MODE`` where the environment sets it; else ``online`` where a key for the server is known
        (``WANDB_API_KEY``, or a netrc file as ``wandb login`` writes it), and ``offline`` where none is.
    """
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_has_key() else "offline"


def finish_loggers(loggers: Iterable[Logger], failed: bool) -> None:
    """Bring every record of a run to its end; to be called once, also when the run fails.

    Args:
        loggers: The run's loggers.
        failed: Whether the run ended with an error.
    """
    for logger in loggers:
        logger.finalize("failed" if failed else "success")
        if isinstance(logger, RunWandb):
            logger.finish(failed)


def _netrc_has_key() -> bool:
    """Whether one of the files that wandb reads has a password for its server."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    named = os.environ.get("NETRC")
    paths = [Path(named).expanduser()] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for path in paths:
        try:
            if netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):  # no such file, or one that wandb could not read either
            continue
    return False

"""The records of a run: ``metrics.csv`` and a Weights & Biases run. wandb is imported when a run of its begins."""

import csv
import netrc
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from contextrast.errors import ConfigError, check_number

ARTIFACTS: Final = {
    "config": ("config", ["config.yaml", "overrides.yaml", "environment.json", "metrics.json"]),
    "last": ("model", ["checkpoints/last.ckpt"]),
    "best": ("model", ["checkpoints/best.ckpt"]),
}
"""What W&B can keep with a run: its type there, and the run folder's files."""


ROW: Final = "last_row"
"""Where a checkpoint keeps the row of the curves that its step made."""


_PLACE: Final = ("step", "epoch")
"""Of a row, which every row has."""


class RunMlflow(MLFlowLogger):
    """MLflow's record of a run, on the server that ``MLFLOW_TRACKING_URI`` names or else in a folder.

    Args:
        folder: For records where no server is named.
        **options: Of Lightning's logger.
    """

    def __init__(self, folder: str, **options: Any) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # which MLflow asks of those who use no database
        super().__init__(save_dir=folder, **options)


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


def rewind_rows(path: Path, step: int, last: Any = None) -> None:
    """Bring ``metrics.csv`` to where a run is that is resumed: rows of later steps will be logged again.

    Args:
        path: The file; nothing happens if there is none.
        step: Steps taken by the run.
        last: Values of the last of them, by column, as its checkpoint keeps them; added if the process died before
            they were written.
    """
    if not path.is_file():
        return
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        kept, names = [row for row in rows if int(float(row["step"] or 0)) <= step], [*(rows.fieldnames or ())]
    found = last.items() if isinstance(last, dict) else ()
    added: dict[str, Any] = {str(name): value for name, value in found if isinstance(value, int | float)}
    written = any(
        int(float(row["step"] or 0)) == step and any(row.get(name) for name in added if name not in _PLACE)
        for row in kept
    )
    if added and not written:
        kept.append({**added, "step": step})
        names += [name for name in added if name not in names]
    shorter = path.with_name(f"{path.name}.tmp")
    with shorter.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)
    shorter.replace(path)  # whole or as it was, whenever the process dies


class RunWandb(WandbLogger):
    """Weights & Biases, offline unless the user is logged in or sets a mode.

    Args:
        save_dir: The run folder; the record lands in its ``wandb`` folder.
        project: Project that the run belongs to.
        name: Name of the run; wandb makes one up if not given.
        group: Group of runs that belong together, for example the seeds of one setting.
        tags: Labels to find the run by.
        continued: The run goes on from a checkpoint: the W&B run that the folder has goes on too. Otherwise
            it gets a new one.
        artifacts: What is kept with the run when it ends, of `ARTIFACTS`.
        table_images: Images in the table of predictions, see `PredictionsTable`.
        mode: ``online``, ``offline`` or ``disabled``; if not given, see `default_mode`.
        **init: Further arguments of ``wandb.init``, such as ``job_type``.

    Raises:
        ConfigError: If there is no such artifact.
    """

    def __init__(
        self,
        save_dir: str | Path,
        *,
        project: str = "contextrast",
        name: str | None = None,
        group: str | None = None,
        tags: Iterable[str] = (),
        continued: str | bool | None = None,
        artifacts: Iterable[str] = (),
        table_images: int = 0,
        mode: str | None = None,
        **init: Any,
    ) -> None:
        mode = mode or default_mode()
        check_number("table_images", table_images, whole=True)
        self.artifacts, self.table_images = list(artifacts), table_images
        if unknown := set(self.artifacts) - set(ARTIFACTS):
            raise ConfigError(f"logger.wandb.artifacts: {', '.join(unknown)}? There are {', '.join(ARTIFACTS)}.")
        if continued and "WANDB_RUN_ID" not in os.environ:  # an agent of a W&B sweep says which run it wants
            init.setdefault("id", earlier_id(Path(save_dir)))
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
            self._keep_files()
            self._experiment.finish(exit_code=int(failed))
            self._finished = True

    def _keep_files(self) -> None:
        """Log the files of the run folder that are asked for and exist."""
        import wandb  # noqa: PLC0415  (only where W&B is in use)

        if self._experiment is None or self._experiment.disabled or not self._save_dir:
            return
        for name in self.artifacts:
            kind, files = ARTIFACTS[name]
            artifact = wandb.Artifact(f"{name}-{self._experiment.id}", type=kind)
            for path in [Path(self._save_dir, file) for file in files]:
                if path.is_file():
                    # In place: a copy of every checkpoint would stay in W&B's cache, also of runs never synced.
                    artifact.add_file(str(path), policy="immutable", skip_cache=True)
            if artifact.manifest.entries:
                self._experiment.log_artifact(artifact)


def earlier_id(run_dir: Path) -> str | None:
    """Id of the W&B run that a run folder recorded last; None if there is none."""
    folders = sorted((run_dir / "wandb").glob("*run-*-*"), key=lambda folder: folder.stat().st_mtime)
    return folders[-1].name.rpartition("-")[2] if folders else None


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

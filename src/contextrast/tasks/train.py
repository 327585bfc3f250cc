"""``contextrast-train``: train a network and leave a run folder behind."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from contextrast.arguments import check_value
from contextrast.callbacks import Continuation
from contextrast.callbacks.interruption import RunStopped
from contextrast.callbacks.wandb_table import PredictionsTable
from contextrast.checkpoints.contents import described
from contextrast.checkpoints.files import ReadCheckpoint, valid_checkpoint
from contextrast.config import plain
from contextrast.data import SegmentationDataModule
from contextrast.errors import ConfigError, LostProcessError, check_number
from contextrast.reporting.tables import per_class_table
from contextrast.runs.files import refuse_finished
from contextrast.runs.lock import locked
from contextrast.runs.loggers import ROW, RunWandb, finish_loggers, rewind_rows
from contextrast.runs.quoting import quoted
from contextrast.tasks.announcing import Beginning, end
from contextrast.tasks.chosen import LAST, find_checkpoint, link_latest
from contextrast.tasks.resume import checkpoint_of_job, refuse_other_run
from contextrast.tasks.sweeps import finished_before, in_sweep, join_tasks, refuse_shared_process
from contextrast.terminal import show
from contextrast.training.assembly import build_datamodule, build_each, build_module, build_trainer
from contextrast.training.host_memory import collecting_often, keep_freed_memory
from contextrast.training.module import SegmentationModule

log = logging.getLogger(__name__)


def train(config: DictConfig, callbacks: Sequence[pl.Callback] = ()) -> float:
    """Train as configured; a job of a sweep that is finished already is not trained again.

    Args:
        config: The composed configuration.
        callbacks: Further ones, of whoever calls this from Python.

    Returns:
        mIoU of the last step on the validation split, in 0..1; sweepers maximise it.

    Raises:
        ContextrastError: If configuration, data or weights cannot work; before the first step wherever possible.
    """
    run_dir = Path(config.paths.run_dir)
    settings = {key: value for key, value in plain(config).items() if key != "resume"}
    if in_sweep():
        refuse_shared_process(config.trainer, HydraConfig.get().launcher)
        recorded = finished_before(settings, run_dir)
        if recorded is not None:
            return recorded
        join_tasks(HydraConfig.get().launcher)
    with locked(run_dir):
        try:
            return fit(config, settings, run_dir, callbacks)
        except RunStopped:
            if in_sweep():
                log.warning("The sweep ends here. The same command goes on with this job, and with the others.")
            raise
        except SystemExit:  # a signal before the first step or after the last
            saved = (run_dir / LAST).is_file()
            log.warning("It goes on with resume=%s" if saved else "Nothing was saved in %s", run_dir)
            raise


def fit(config: DictConfig, settings: dict[str, Any], run_dir: Path, callbacks: Sequence[pl.Callback]) -> float:
    """Train in a folder that no other process trains into; arguments, result and errors are those of `train`."""
    check_own(config)
    resumed = continued(config, settings, run_dir)
    begun: list[pl.Callback] = []
    begun_from = None if resumed is None else resumed.path
    if config.start_from is not None and resumed is None:
        begun_from = find_checkpoint(config.start_from, Path(config.paths.runs), "start_from")
        begun.append(Continuation(valid_checkpoint(begun_from)))
    pl.seed_everything(config.seed, workers=True, verbose=False)
    datamodule = build_datamodule(config.data)
    datamodule.setup("fit")  # what is wrong with the data shows before the network is built
    module = build_module(config, datamodule)
    begun.append(Beginning(settings, datamodule, begun_from))
    save_settings(settings, run_dir)
    rank_zero_only(link_latest)(run_dir, Path(config.paths.runs))
    loggers = build_each(config, "logger")
    failed = True
    try:
        followers = [*begun, *built_callbacks(config, loggers), *callbacks]
        trainer = build_trainer(config.trainer, loggers, followers, resumed, datamodule.validate)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        start = None if resumed is None else resumed.path
        del resumed  # the trainer has its content, and lets go of it when it has loaded it
        with collecting_often():
            trainer.fit(module, datamodule, ckpt_path=start, weights_only=True)
            measure_last_step(trainer, module, datamodule)
        failed = trainer.interrupted
    except RuntimeError as error:
        if lost_process(error):
            raise LostProcessError(
                f"Process {trainer.global_rank} lost another process of this run, which was killed, stopped or failed "
                f"(its own output says why). Nothing more is saved; resume={run_dir} goes on from the last checkpoint."
            ) from error
        raise
    finally:
        finish_loggers(loggers, failed)
    return report(module, run_dir)


def check_own(config: DictConfig) -> None:
    """Refuse what training's own settings cannot be; those of objects are held to what their classes take.

    Raises:
        ConfigError: If there is such a value.
    """
    check_number("seed", config.seed, 0, 2**32 - 1, whole=True)  # as numpy has them
    for key in ("channels_last", "compile.network", "compile.loss"):
        check_value(key, bool, OmegaConf.select(config, key))
    for key in ("resume", "start_from"):
        check_value(key, str | None, config[key])


def continued(config: DictConfig, settings: Mapping[str, Any], run_dir: Path) -> ReadCheckpoint | None:
    """The checkpoint that the run goes on from, read; what its folder has of later steps is removed. None starts anew.

    Raises:
        ContextrastError: If there is nothing to go on from, or the folder holds another run.
    """
    curves = run_dir / "metrics.csv"
    if in_sweep():
        checkpoint = checkpoint_of_job(config.resume, run_dir)
    elif config.resume is None:
        checkpoint = None
    else:
        checkpoint = find_checkpoint(config.resume, Path(config.paths.runs), "resume")
    if checkpoint is None:
        refuse_begun(run_dir)
        curves.unlink(missing_ok=True)  # rows of an attempt that failed; the logger would continue them
        return None
    read = valid_checkpoint(checkpoint)
    step = described(read).step
    refuse_other_run(read.path, settings, step)
    if read.path.parents[1] != run_dir.absolute():
        refuse_begun(run_dir)
    rewind_rows(curves, step, read.content.get(ROW))
    (run_dir / "metrics.json").unlink(missing_ok=True)
    log.info("Goes on from step %d of %s", step, read.path)
    return read


def refuse_begun(run_dir: Path) -> None:
    """Leave a folder alone that holds a run, finished or not.

    Raises:
        ConfigError: If it does.
    """
    refuse_finished(run_dir)
    if kept := sorted((run_dir / LAST).parent.glob("*.ckpt")):
        raise ConfigError(
            f"{run_dir} holds checkpoints of a run that is not finished ({', '.join(path.name for path in kept)}). "
            f"Nothing was changed: resume={quoted(run_dir)} goes on with it; for a new run choose another folder, or "
            "remove this one."
        )


def lost_process(error: RuntimeError) -> bool:
    """Whether this is what gloo or NCCL says in a process that waits for one that is gone."""
    return (
        re.search(r"closed by peer|reset by peer|remote process exited|[Tt]imed out waiting|timeout caused", str(error))
        is not None
    )


@rank_zero_only
def save_settings(settings: dict[str, Any], run_dir: Path) -> None:
    """Write what the run is made of, and what was typed, into its folder."""
    overrides = [text for text in HydraConfig.get().overrides.task if not text.startswith("resume=")]
    OmegaConf.save(OmegaConf.create(settings), run_dir / "config.yaml")
    OmegaConf.save(OmegaConf.create(overrides), run_dir / "overrides.yaml")


def built_callbacks(config: DictConfig, loggers: Sequence[Logger]) -> list[pl.Callback]:
    """The configured callbacks, and those that a W&B run brings along."""
    tables = [PredictionsTable(logger) for logger in loggers if isinstance(logger, RunWandb)]
    return [*build_each(config, "callbacks"), *tables]


def measure_last_step(trainer: pl.Trainer, module: SegmentationModule, datamodule: SegmentationDataModule) -> None:
    """Validate once more if the last step was not followed by a validation, where there is one."""
    if datamodule.validate and module.measured_at != trainer.global_step and not trainer.interrupted:
        trainer.validate(module, datamodule, verbose=False)


def report(module: SegmentationModule, run_dir: Path) -> float:
    """Print the last scores and where everything lies, in one process; returns the mIoU, NaN without a validation."""
    scores = module.last_scores
    if module.global_rank == 0:
        if scores is not None:
            show(per_class_table(scores, module.labels.classes, "Validation, last step"))
        end(module, run_dir)
    return float("nan") if scores is None else float(scores.miou)

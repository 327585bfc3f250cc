"""``contextrast-train``: train a network and leave a run folder behind."""

from pathlib import Path

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich import get_console

from contextrast.assembly import build_datamodule, build_module, build_trainer
from contextrast.cli.app import command, refuse_finished
from contextrast.cli.sweeps import finished_before, in_sweep
from contextrast.config import instantiate, plain
from contextrast.module import SegmentationModule
from contextrast.reporting.loggers import finish_loggers
from contextrast.reporting.tables import per_class_table


def train(config: DictConfig) -> float:
    """Train as configured; a job of a sweep that is finished already is not trained again.

    Returns:
        mIoU of the last step on the validation split, in 0..1; sweepers maximise it.

    Raises:
        ContextrastError: If configuration, data or weights cannot work; before the first step wherever possible.
    """
    run_dir = Path(config.paths.run_dir)
    if in_sweep():
        recorded = finished_before(plain(config), run_dir)
        if recorded is not None:
            return recorded
        (run_dir / "metrics.csv").unlink(
            missing_ok=True
        )  # rows of an attempt that failed; the logger would continue them
    else:
        refuse_finished(run_dir)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    datamodule = build_datamodule(config.data)
    datamodule.setup("fit")  # what is wrong with the data shows before the network is built
    module = build_module(config, datamodule)
    OmegaConf.save(OmegaConf.create(plain(config)), run_dir / "config.yaml")
    OmegaConf.save(HydraConfig.get().overrides.task, run_dir / "overrides.yaml")
    loggers = [instantiate(logger) for logger in config.logger.values()]
    failed = True
    try:
        callbacks = [instantiate(callback) for callback in config.callbacks.values()]
        trainer = build_trainer(config.trainer, loggers, callbacks)
        trainer.fit(module, datamodule)
        measure_last_step(trainer, module, datamodule)
        failed = trainer.interrupted
    finally:
        finish_loggers(loggers, failed)
    return report(module, run_dir)


def measure_last_step(trainer: pl.Trainer, module: SegmentationModule, datamodule: pl.LightningDataModule) -> None:
    """Validate once more if the last step was not followed by a validation."""
    if module.measured_at != trainer.global_step and not trainer.interrupted:
        trainer.validate(module, datamodule, verbose=False)


def report(module: SegmentationModule, run_dir: Path) -> float:
    """Print the last scores and where everything lies; returns the mIoU."""
    scores = module.last_scores
    if scores is None:
        return float("nan")
    console = get_console()
    console.print(per_class_table(scores, module.labels.classes, "Validation, last step"))
    console.print(f"Run folder: {run_dir}", soft_wrap=True)
    return float(scores.miou)


main = command("train")(train)

if __name__ == "__main__":
    main()

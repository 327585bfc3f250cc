"""``contextrast-evaluate``: measure a checkpoint on a split, at one scale and at several with flips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich import get_console

from contextrast.checkpoints.contents import DATA, Checkpoint, load_checkpoint
from contextrast.cli.app import command, refuse_finished
from contextrast.config import instantiate, plain
from contextrast.data import LabelTable, SegmentationDataModule, SegmentationDataset
from contextrast.data.loader import Loader
from contextrast.errors import CheckpointError, ConfigError
from contextrast.evaluation import EvaluationModule, build_measures, needed_of
from contextrast.metrics import Measure
from contextrast.models import Segmenter
from contextrast.reporting.tables import group_table, per_class_table, report_to_dict, scores_to_dict
from contextrast.runs.files import environment, write_json
from contextrast.runs.loggers import finish_loggers
from contextrast.training.assembly import build_datamodule, build_trainer


def evaluate(config: DictConfig) -> None:
    """Evaluate as configured; tables go to the terminal, numbers to ``metrics.json`` in the run folder.

    Raises:
        ContextrastError: If checkpoint, data and settings do not go together; before the first batch wherever possible.
    """
    run_dir = Path(config.paths.run_dir)
    refuse_finished(run_dir)
    checkpoint = load_checkpoint(config.checkpoint)
    datamodule = build_data(config, checkpoint)
    network = checkpoint.network(given(config.model))
    measures = build_measures(plain(config.metrics), network, datamodule.labels)
    if config.split not in ("val", "test"):
        raise ConfigError(f"split={config.split} is not known; choose val or test.")
    dataset = needed_of(datamodule.dataset(config.split), measures)
    evaluations = build_evaluations(config, network, checkpoint.labels, measures)
    results = run(config, evaluations, Split(datamodule, dataset))
    if rank_zero_only.rank:  # type: ignore[attr-defined]  # Lightning sets it
        return  # the first process tells for all
    header = {"checkpoint": str(config.checkpoint), "step": checkpoint.step, "split": config.split}
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "metrics.json", {**header, **results})
    get_console().print(f"Numbers: {run_dir / 'metrics.json'}", soft_wrap=True)
    if dataset.withheld:
        get_console().print(f"For the benchmark's server: {run_dir / 'submission'}", soft_wrap=True)


class Split(pl.LightningDataModule):
    """One split for a trainer, whose processes share its images out.

    Args:
        datamodule: How images are read.
        dataset: The split.
    """

    def __init__(self, datamodule: SegmentationDataModule, dataset: SegmentationDataset) -> None:
        super().__init__()
        self.datamodule = datamodule
        self.dataset = dataset

    def test_dataloader(self) -> Loader:
        """This process's share."""
        trainer = self.trainer
        assert trainer is not None, "called by one"
        return self.datamodule.eval_loader(self.dataset, (trainer.world_size, trainer.global_rank))


def build_data(config: DictConfig, checkpoint: Checkpoint) -> SegmentationDataModule:
    """The data of the checkpoint, with the settings that were given.

    Raises:
        CheckpointError: If its classes are others than the checkpoint's.
    """
    datamodule = build_datamodule({**checkpoint.data, **given(config.data)}, DATA)
    if datamodule.labels.classes != checkpoint.labels.classes:
        raise CheckpointError(
            f"{config.checkpoint} knows {checkpoint.labels.num_classes} classes of {checkpoint.labels.name} "
            f"({', '.join(checkpoint.labels.classes[:5])}, …), the data has {datamodule.labels.num_classes} of "
            f"{datamodule.labels.name}. Evaluate on data with the same classes."
        )
    return datamodule


def build_evaluations(
    config: DictConfig, network: Segmenter, labels: LabelTable, measures: Mapping[str, Measure]
) -> dict[str, EvaluationModule]:
    """An evaluation by each protocol that was asked for.

    Raises:
        ConfigError: If a protocol has settings that there are not.
    """
    evaluations = {}
    for name, settings in plain(config.protocols).items():
        if settings is None:
            continue
        protocol = instantiate({"_target_": "contextrast.models.InferenceProtocol", **settings})
        evaluations[name] = EvaluationModule(network, labels, protocol, measures, f"{config.split}/{name}")
        # Features are those of the images as they are, whatever the protocol: once is enough.
        measures = {key: measure for key, measure in measures.items() if "features" not in measure.needs}
    return evaluations


def run(config: DictConfig, evaluations: Mapping[str, EvaluationModule], split: Split) -> dict[str, dict[str, Any]]:
    """Run each evaluation, print its tables, and return its numbers as plain containers: the same in all processes."""
    loggers = [instantiate(logger) for logger in config.logger.values()]
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    results = {}
    failed = True
    try:
        for name, module in evaluations.items():
            build_trainer(config.trainer, loggers, callbacks).test(module, split, verbose=False)
            show(module, f"{config.split}, {name.replace('_', ' ')}")
            results[name] = numbers(module)
        failed = False
    finally:
        finish_loggers(loggers, failed)
    return results


@rank_zero_only
def show(module: EvaluationModule, title: str) -> None:
    """Print what a test found, with the definitions of its measures."""
    assert module.last_scores is not None
    console, reports = get_console(), module.last_reports
    console.print(per_class_table(module.last_scores, module.labels.classes, title, reports.values()))
    for name, report in reports.items():
        if report.groups:
            console.print(group_table(report, name))
        console.print(f"{name}: {report.convention}.", style="dim", highlight=False)


def numbers(module: EvaluationModule) -> dict[str, Any]:
    """What a test found, as plain containers: mIoU and its relatives, and each measure by its name."""
    assert module.last_scores is not None
    classes = module.labels.classes
    found = {name: report_to_dict(report, classes) for name, report in module.last_reports.items()}
    return scores_to_dict(module.last_scores, classes) | found


def given(settings: DictConfig) -> dict[str, Any]:
    """Settings that were given a value; null leaves the checkpoint's."""
    return {key: value for key, value in plain(settings).items() if value is not None}


main = command("evaluate")(evaluate)

if __name__ == "__main__":
    main()

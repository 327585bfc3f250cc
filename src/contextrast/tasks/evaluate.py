"""``contextrast-evaluate``: measure a checkpoint on a split, at one scale and at several with flips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from contextrast.checkpoints.contents import DATA, Checkpoint, load_checkpoint
from contextrast.config import instantiate, plain
from contextrast.data import LabelTable, SegmentationDataModule, SegmentationDataset
from contextrast.data.loader import Loader
from contextrast.errors import CheckpointError, ConfigError
from contextrast.evaluation import EvaluationModule, build_measures, needed_of
from contextrast.export import Exported, is_export, load_export
from contextrast.metrics import Measure
from contextrast.models import Network
from contextrast.models.devices import best_device
from contextrast.reporting.tables import group_table, per_class_table, report_to_dict, scores_to_dict
from contextrast.runs.files import environment, refuse_finished, write_json
from contextrast.runs.lock import first_process
from contextrast.runs.loggers import finish_loggers
from contextrast.runs.rules import device_count
from contextrast.tasks.chosen import with_checkpoint
from contextrast.terminal import say, show
from contextrast.training.assembly import build_datamodule, build_each, build_trainer


def evaluate(config: DictConfig) -> None:
    """Evaluate as configured; tables go to the terminal, numbers to ``metrics.json`` in the run folder.

    Raises:
        ContextrastError: If checkpoint, data and settings do not go together; before the first batch wherever possible.
    """
    run_dir = Path(config.paths.run_dir)
    refuse_finished(run_dir)
    config = with_checkpoint(config)
    trained, network = load(config)
    datamodule = build_data(config, trained)
    measures = build_measures(plain(config.metrics), network, datamodule.labels)
    if config.split not in ("val", "test"):
        raise ConfigError(f"split={config.split} is not known; choose val or test.")
    dataset = needed_of(datamodule.dataset(config.split), measures)
    evaluations = build_evaluations(config, network, trained.labels, measures)
    results = run(config, evaluations, Split(datamodule, dataset))
    if not first_process():
        return  # the first process tells for all
    header = {"checkpoint": str(config.checkpoint), "step": trained.step, "split": config.split}
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "metrics.json", {**header, **results})
    say(f"Numbers: {run_dir / 'metrics.json'}")
    if dataset.withheld:
        say(f"For the benchmark's server: {run_dir / 'submission'}")


def load(config: DictConfig) -> tuple[Checkpoint | Exported, Network]:
    """What says which classes and data it was trained on, and the network itself.

    Raises:
        ContextrastError: If it cannot be read, or there are settings that an export cannot follow.
    """
    if not is_export(config.checkpoint):
        checkpoint = load_checkpoint(config.checkpoint)
        return checkpoint, checkpoint.network(given(config.model))
    if given(config.model) or (config.trainer.accelerator != "cpu" and device_count(config.trainer.devices) != 1):
        raise ConfigError(f"{config.checkpoint} is an export: it takes no settings of the model, and one device.")
    device = torch.device("cpu") if config.trainer.accelerator == "cpu" else best_device()
    exported = load_export(config.checkpoint, device, config.trusted)
    return exported, exported


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


def build_data(config: DictConfig, trained: Checkpoint | Exported) -> SegmentationDataModule:
    """The data that a network was trained on, with the settings that were given.

    Raises:
        CheckpointError: If its classes are others than the network's, or an export does not say which data it was.
    """
    if trained.data is None:
        raise CheckpointError(f"{config.checkpoint} does not say which data it was trained on. Export it again.")
    settings = given(config.data)
    dataset = {**trained.data["dataset"], **settings.pop("dataset", {})}
    datamodule = build_datamodule({**trained.data, **settings, "dataset": dataset}, DATA)
    if difference := trained.labels.difference(datamodule.labels):
        raise CheckpointError(
            f"{config.checkpoint} and the data have other classes: {difference}. Evaluate on data with the same "
            "classes in the same order."
        )
    return datamodule


def build_evaluations(
    config: DictConfig, network: Network, labels: LabelTable, measures: Mapping[str, Measure]
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
    loggers = build_each(config, "logger")
    callbacks = build_each(config, "callbacks")
    results = {}
    failed = True
    try:
        for name, module in evaluations.items():
            build_trainer(config.trainer, loggers, callbacks).test(module, split, verbose=False)
            show_scores(module, f"{config.split}, {name.replace('_', ' ')}")
            results[name] = numbers(module)
        failed = False
    finally:
        finish_loggers(loggers, failed)
    return results


@rank_zero_only
def show_scores(module: EvaluationModule, title: str) -> None:
    """Print what a test found, with the definitions of its measures."""
    assert module.last_scores is not None
    reports = module.last_reports
    show(per_class_table(module.last_scores, module.labels.classes, title, reports.values()))
    for name, report in reports.items():
        if report.groups:
            show(group_table(report, name))
        show(f"{name}: {report.convention}.", style="dim")


def numbers(module: EvaluationModule) -> dict[str, Any]:
    """What a test found, as plain containers: mIoU and its relatives, and each measure by its name."""
    assert module.last_scores is not None
    classes = module.labels.classes
    found = {name: report_to_dict(report, classes) for name, report in module.last_reports.items()}
    return scores_to_dict(module.last_scores, classes) | found


def given(settings: DictConfig) -> dict[str, Any]:
    """Settings that were given a value; null leaves the checkpoint's."""
    return {key: value for key, value in plain(settings).items() if value is not None}

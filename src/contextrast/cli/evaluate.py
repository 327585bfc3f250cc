"""``contextrast-evaluate``: measure a checkpoint on a split, at one scale and at several with flips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich import get_console
from torchmetrics import MetricCollection

from contextrast.checkpoints.contents import DATA, Checkpoint, load_checkpoint
from contextrast.cli.app import command, refuse_finished
from contextrast.config import instantiate, plain
from contextrast.data import LabelTable, SegmentationDataModule
from contextrast.data.loader import Loader
from contextrast.errors import CheckpointError, ConfigError
from contextrast.metrics import Measure, Subject
from contextrast.models import Segmenter
from contextrast.reporting.tables import group_table, per_class_table, report_to_dict, scores_to_dict
from contextrast.runs.files import environment, write_json
from contextrast.runs.loggers import finish_loggers
from contextrast.training.assembly import build_datamodule, build_trainer
from contextrast.training.module import SegmentationModule


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
    measures = build_measures(config.metrics, network, datamodule.labels)
    loaders = {"val": datamodule.val_dataloader, "test": datamodule.test_dataloader}
    if config.split not in loaders:
        raise ConfigError(f"split={config.split} is not known; choose val or test.")
    loader = loaders[config.split]()
    request_instances(measures, datamodule.dataset(config.split))
    module = SegmentationModule(network, None, checkpoint.labels)
    results = run_protocols(config, module, measures, loader)
    header = {"checkpoint": str(config.checkpoint), "step": checkpoint.step, "split": config.split}
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "metrics.json", {**header, **results})
    get_console().print(f"Numbers: {run_dir / 'metrics.json'}", soft_wrap=True)
    if datamodule.dataset(config.split).withheld:
        get_console().print(f"For the benchmark's server: {run_dir / 'submission'}", soft_wrap=True)


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


def build_measures(config: DictConfig, network: Segmenter, labels: LabelTable) -> dict[str, Measure]:
    """The measures that were chosen, each told what it asks for of the network and the classes.

    Raises:
        ConfigError: If a measure cannot be had of this network or these classes.
    """
    subject = Subject(labels.num_classes, labels.groups, network.stage_names, network.stage_channels)
    measures: dict[str, Measure] = {}
    for name, settings in plain(config).items():
        if settings is None:
            continue
        described: Any = instantiate(settings | {"_partial_": True})
        if not issubclass(described.func, Measure):
            raise ConfigError(f"metrics.{name}: {settings['_target_']} is no contextrast.metrics.Measure.")
        try:
            measure = described.func.of(subject, **described.keywords)
        except (TypeError, ValueError) as error:  # what constructors say to arguments that they do not take
            raise ConfigError(f"metrics.{name}: {settings['_target_']} could not be built: {error}") from error
        if measure is not None:
            measures[name] = measure
    return measures


def request_instances(measures: Mapping[str, Measure], dataset: Any) -> None:
    """Have samples come with instance maps, if a measure needs them.

    Raises:
        ConfigError: If the dataset has none.
        DataError: If it lacks their files.
    """
    needing = [name for name, measure in measures.items() if "instances" in measure.needs]
    if not needing:
        return
    if not hasattr(dataset, "instances"):
        raise ConfigError(
            f"metrics: {', '.join(needing)} needs instance maps, which {type(dataset).__name__} does not have. Leave "
            "it out of metrics=[...]."
        )
    dataset.instances(0)  # missing files show before the first batch
    dataset.with_instances = True


def run_protocols(
    config: DictConfig, module: SegmentationModule, measures: Mapping[str, Measure], loader: Loader
) -> dict[str, dict[str, Any]]:
    """Measure by each protocol, print its tables, and return its numbers as plain containers."""
    loggers = [instantiate(logger) for logger in config.logger.values()]
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    results = {}
    failed = True
    try:
        for name, protocol in config.protocols.items():
            if protocol is None:
                continue
            module.measures = MetricCollection(dict(measures), compute_groups=False)
            module.test_name = f"{config.split}/{name}"
            module.test_scales, module.test_flip = list(protocol.scales), protocol.flip
            module.test_batch_size = protocol.get("batch_size", module.test_batch_size)
            build_trainer(config.trainer, loggers, callbacks).test(module, loader, verbose=False)
            show(module, f"{config.split}, {name.replace('_', ' ')}")
            results[name] = numbers(module)
            # Features are those of the images as they are, whatever the protocol: once is enough.
            measures = {key: measure for key, measure in measures.items() if "features" not in measure.needs}
        failed = False
    finally:
        finish_loggers(loggers, failed)
    return results


def show(module: SegmentationModule, title: str) -> None:
    """Print what the last test found, with the definitions of its measures."""
    assert module.last_scores is not None
    console, reports = get_console(), module.last_reports
    console.print(per_class_table(module.last_scores, module.labels.classes, title, reports.values()))
    for name, report in reports.items():
        if report.groups:
            console.print(group_table(report, name))
        console.print(f"{name}: {report.convention}.", style="dim", highlight=False)


def numbers(module: SegmentationModule) -> dict[str, Any]:
    """What the last test found, as plain containers: mIoU and its relatives, and each measure by its name."""
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

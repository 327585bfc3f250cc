"""``contextrast-evaluate``: measure a checkpoint on a split, at one scale and at several with flips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich import get_console

from contextrast.assembly import build_datamodule, build_trainer
from contextrast.checkpoint import load_checkpoint
from contextrast.cli.app import command, refuse_finished
from contextrast.config import instantiate, plain
from contextrast.errors import CheckpointError, ConfigError
from contextrast.metrics import Scores
from contextrast.module import SegmentationModule
from contextrast.reporting.run_files import environment, write_json
from contextrast.reporting.tables import per_class_table, scores_to_dict


def evaluate(config: DictConfig) -> None:
    """Evaluate as configured; tables go to the terminal, numbers to ``metrics.json`` in the run folder.

    Raises:
        ContextrastError: If checkpoint, data and settings do not go together.
    """
    run_dir = Path(config.paths.run_dir)
    refuse_finished(run_dir)
    checkpoint = load_checkpoint(config.checkpoint)
    data = {**checkpoint.config["data"], **given(config.data)}
    datamodule = build_datamodule(data)
    if datamodule.labels.classes != checkpoint.labels.classes:
        raise CheckpointError(
            f"{config.checkpoint} knows {checkpoint.labels.num_classes} classes of {checkpoint.labels.name} "
            f"({', '.join(checkpoint.labels.classes[:5])}, …), the data has {datamodule.labels.num_classes} of "
            f"{datamodule.labels.name}. Evaluate on data with the same classes."
        )
    loaders = {"val": datamodule.val_dataloader, "test": datamodule.test_dataloader}
    if config.split not in loaders:
        raise ConfigError(f"split={config.split} is not known; choose val or test.")
    module = SegmentationModule(checkpoint.network(given(config.model)), None, checkpoint.labels)
    loader = loaders[config.split]()
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    results: dict[str, Scores] = {}
    for name, protocol in config.protocols.items():
        if protocol is None:
            continue
        module.test_scales, module.test_flip = list(protocol.scales), protocol.flip
        trainer = build_trainer(config.trainer, [], callbacks)
        trainer.test(module, loader, verbose=False)
        assert module.last_scores is not None
        results[name] = module.last_scores
        title = f"{config.split}, {name.replace('_', ' ')}"
        get_console().print(per_class_table(module.last_scores, checkpoint.labels.classes, title))
    _write(run_dir, config, checkpoint.step, results, checkpoint.labels.classes)


def given(settings: DictConfig) -> dict[str, Any]:
    """Settings that were given a value; null leaves the checkpoint's."""
    return {key: value for key, value in plain(settings).items() if value is not None}


def _write(
    run_dir: Path, config: DictConfig, step: int, results: Mapping[str, Scores], classes: tuple[str, ...]
) -> None:
    content = {name: scores_to_dict(scores, classes) for name, scores in results.items()}
    header = {"checkpoint": str(config.checkpoint), "step": step, "split": config.split}
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "metrics.json", header | content)
    get_console().print(f"Numbers: {run_dir / 'metrics.json'}", soft_wrap=True)


main = command("evaluate")(evaluate)

if __name__ == "__main__":
    main()

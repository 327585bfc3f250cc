"""The first and the last lines of a training: what begins, what was reached, and what to type next."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import torch
from torch import nn
from typing_extensions import override

from contextrast.callbacks.summary import count_parameters
from contextrast.data import SegmentationDataModule
from contextrast.runs.quoting import as_value
from contextrast.terminal import console, say
from contextrast.training.module import SegmentationModule

_PATHS: Final = ("weights", "data", "folder")
"""Lines that hold paths, which are not wrapped, so that they can be copied."""


class Beginning(pl.Callback):
    """Prints what a run is before its first step, in its first process.

    Args:
        config: Its settings as plain containers.
        datamodule: What it is trained on.
        begun_from: A checkpoint that the run goes on from or begins with.
    """

    def __init__(
        self, config: Mapping[str, Any], datamodule: SegmentationDataModule, begun_from: Path | None = None
    ) -> None:
        self._config, self._datamodule, self._begun_from = config, datamodule, begun_from

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line for each thing that a result depends on, and where it will lie."""
        if not trainer.is_global_zero:
            return
        config, parts = self._config, dict(pl_module.named_children())
        random = self._begun_from is None and _is_random(config["model"])
        size, (height, width) = self._datamodule.batch_size * trainer.world_size, config["data"]["crop"]
        lines = {
            "network": f"{_name(parts['network'])}, {count_parameters(parts['network']) / 1e6:.1f} M parameters",
            "weights": str(self._begun_from or _weights(config["model"])),
            "data": _data(self._datamodule, config["data"].get("root")),
            "loss": f"{_loss(config['loss'])}, {count_parameters(parts['loss']) / 1e6:.1f} M more in training",
            "device": _device(trainer),
            "steps": f"{trainer.estimated_stepping_batches:.0f}, of {size} crops of {height} x {width}",
            "folder": config["paths"]["run_dir"],
        }
        for name, text in lines.items():
            wrapped = _line(name, text) if name not in _PATHS or (name == "weights" and random) else f"{name:9} {text}"
            say(wrapped, "bold yellow" if name == "weights" and random else None)


def end(module: SegmentationModule, run_dir: Path) -> None:
    """Print what a run reached, where it lies, and commands that go on from there.

    Args:
        module: What was trained.
        run_dir: Its folder.
    """
    if module.last_scores is not None:
        say(_line("reached", f"mIoU {100 * module.last_scores.miou:.2f} % at the last step, step {module.measured_at}"))
    say(f"{'folder':9} {run_dir}")
    say("next:")
    for command in next_commands(run_dir):
        say(f"  {command}")


def next_commands(run_dir: Path) -> Sequence[str]:
    """What to type after a training, ready to be pasted into a shell."""
    near = _near(run_dir)
    checkpoint, start_from = (shlex.quote(f"{key}={as_value(near)}") for key in ("checkpoint", "start_from"))
    return [
        f"contextrast-evaluate {checkpoint}",
        f"contextrast-predict {checkpoint} input=PATH",
        f"contextrast-report {shlex.quote(near)} --html report.html",
        f"contextrast-train {start_from} recipe.steps=MORE",
    ]


def _near(path: Path) -> str:
    """A path from here where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _line(name: str, text: str) -> str:
    """A name and what it is, wrapped to the terminal with what follows below the first line's text."""
    lines = textwrap.wrap(text, max(20, console().width - 10), break_long_words=False, break_on_hyphens=False)
    return f"{name:9} " + ("\n" + " " * 10).join(lines or [""])


def _is_random(model: Mapping[str, Any]) -> bool:
    return all(model.get(key) is None for key in ("weights", "encoder_weights", "network"))


def _weights(model: Mapping[str, Any]) -> str:
    if model.get("weights") is not None:
        return f"{model['weights']}"
    if model.get("encoder_weights") is not None:
        return f"encoder {model['encoder_weights']}, the rest random"
    if model.get("network") is not None:
        return "as model.network makes them"
    return (
        "RANDOM. From scratch a network needs many times the steps. model.encoder_weights=PATH reads a file; imagenet "
        "downloads the encoder's weights from smp's or timm's hub."
    )


def _data(datamodule: SegmentationDataModule, root: str | None) -> str:
    counts = [f"{len(datamodule.dataset('train'))} images to train on"]
    counts.append(f"{len(datamodule.dataset('val'))} to validate" if datamodule.validate else "none to validate")
    where = "" if root is None else f" in {root}"
    return f"{datamodule.labels.name}{where}: {', '.join(counts)}, {datamodule.labels.num_classes} classes"


def _name(network: nn.Module) -> str:
    return str(getattr(network, "name", type(network).__name__))


def _loss(loss: Mapping[str, Any]) -> str:
    """A loss by its class, with what it is added to and its weight."""
    base = loss.get("base")
    weights = base.get("weights") if isinstance(base, Mapping) else None
    added = f" on {' + '.join(weights)}" if isinstance(weights, Mapping) else ""
    alpha = "" if loss.get("alpha") is None else f", alpha {loss['alpha']}"
    return f"{_class(loss)}{added}{alpha}"


def _class(described: Mapping[str, Any]) -> str:
    return str(described["_target_"]).rpartition(".")[2]


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    many = f"{trainer.world_size} processes, each on " if trainer.world_size > 1 else ""
    return f"{many}{name}, precision {trainer.precision}, {torch.get_num_threads()} threads"

"""Checkpoints of tiny networks as they begin, in files as training writes them."""

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from contextrast.folders import config_directory
from contextrast.training.assembly import build_datamodule, build_module
from contextrast.training.module import SegmentationModule
from tests.conftest import TINY


def tiny_module(folder: Path, *overrides: str) -> SegmentationModule:
    """An untrained network over streets of 64 x 64 pixels, with its loss."""
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [*TINY, "logger=none", f"paths.run_dir={folder}", *overrides])
    torch.manual_seed(0)
    return build_module(config, build_datamodule(config.data))


def written(module: SegmentationModule, path: Path) -> Path:
    """Writes the module's checkpoint; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "global_step": 3}
    torch.save(content, path)
    return path

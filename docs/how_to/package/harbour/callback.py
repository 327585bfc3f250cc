"""A callback of one's own: one of Lightning's."""

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch


class ClassCounts(pl.Callback):
    """Counts the labelled pixels of each class that training saw, and writes them into ``class_counts.json``.

    Args:
        directory: Folder of the file.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.counts = torch.zeros(256, dtype=torch.long)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        self.counts += torch.bincount(batch["mask"].flatten().cpu(), minlength=256)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file."""
        classes = pl_module.labels.classes
        counts = dict(zip(classes, self.counts.tolist(), strict=False))
        (self.directory / "class_counts.json").write_text(json.dumps(counts), "utf-8")
